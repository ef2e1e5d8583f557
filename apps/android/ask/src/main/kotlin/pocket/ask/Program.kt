package pocket.ask

import pocket.bundle.ModelBundle
import pocket.text.SpanLogits

/**
 * A bundle's program, loaded by one runtime.
 *
 * Not for two threads at once. What was loaded is outside of the Java heap, so [close] it.
 */
interface Program : AutoCloseable {
    /** The runtime and its version: LiteRT 2.3.0. */
    val runtime: String

    /** What the runtime says it computes with, in the words of measurement.json; null where it does not say. */
    val delegate: String?

    /**
     * Runs one window.
     *
     * @throws ProgramFailed in the runtime's own words
     */
    fun run(window: PaddedWindow): SpanLogits
}

/** Why a program cannot be loaded or run. */
class ProgramFailed(sentence: String, cause: Throwable? = null) : Exception(sentence, cause)

/** A window as a program takes it: [ids] and [mask], both (1, seq) of int32, mask 1 for tokens and 0 for padding. */
class PaddedWindow private constructor(val ids: IntArray, val mask: IntArray) {
    /** Tokens, padding included. */
    val length: Int get() = ids.size

    companion object {
        /**
         * Pads to the shortest of the bundle's lengths that holds the window.
         *
         * @throws ProgramFailed where none does
         */
        fun of(ids: IntArray, bundle: ModelBundle): PaddedWindow {
            val length =
                bundle.lengthFor(ids.size)
                    ?: throw ProgramFailed(
                        "${bundle.name} takes at most ${bundle.lengths.last()} tokens, not ${ids.size}",
                    )
            return PaddedWindow(ids.copyOf(length), IntArray(length) { if (it < ids.size) 1 else 0 })
        }
    }
}
