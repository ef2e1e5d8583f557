package org.pocketdistil.app

import android.content.Context
import android.os.Handler
import android.os.Looper
import java.io.File
import java.io.IOException
import java.util.concurrent.Executors
import pocket.ask.ProgramFailed
import pocket.ask.QuestionAnswerer
import pocket.ask.Reply
import pocket.bundle.BundleRefused
import pocket.bundle.ShippedBundle
import pocket.bundle.Task
import pocket.engine.AssetFolder
import pocket.engine.Runtimes
import pocket.text.TextRefused
import pocket.text.TokenizerRefused

/** What the app is doing, as a screen shows it. */
sealed interface State {
    data object Loading : State

    /** There is no model to ask. */
    class Refused(val why: String) : State

    /** There is; [model] is known from here on. */
    sealed interface Loaded : State {
        val model: Model
    }

    class Ready(override val model: Model) : Loaded

    class Asking(override val model: Model, val done: Int, val windows: Int) : Loaded

    class Answered(override val model: Model, val passage: String, val reply: Reply) : Loaded

    class NotAnswered(override val model: Model, val why: String) : Loaded
}

class Model(val name: String, val runtime: String, val programBytes: Long)

/** Loads the shipped model and asks it, in one thread of its own; call it from the main thread only. */
class Questions(context: Context) {
    private val shipped = shippedBundle(context)
    private val worker = Executors.newSingleThreadExecutor { Thread(it, "questions") }
    private val main = Handler(Looper.getMainLooper())
    private var answerer: QuestionAnswerer? = null

    var state: State = State.Loading
        private set(value) {
            field = value
            listener?.invoke(value)
        }

    /** Hears of the present state at once, and of each new one, on the main thread. */
    var listener: ((State) -> Unit)? = null
        set(value) {
            field = value
            value?.invoke(state)
        }

    init {
        worker.execute { load() }
    }

    fun ask(question: String, passage: String) {
        val model = (state as? State.Loaded)?.model ?: return
        if (state is State.Asking) return
        state = State.Asking(model, 0, 0)
        worker.execute {
            val end =
                try {
                    val reply =
                        checkNotNull(answerer).ask(question, passage) { done, windows ->
                            show(State.Asking(model, done, windows))
                        }
                    State.Answered(model, passage, reply)
                } catch (refused: TextRefused) {
                    State.NotAnswered(model, refused.message.orEmpty())
                } catch (failed: ProgramFailed) {
                    State.NotAnswered(model, failed.message.orEmpty())
                }
            show(end)
        }
    }

    private fun load() {
        val loaded =
            try {
                val (folder, bundle) = shipped.open(Task.Kind.QUESTION_ANSWERING)
                if (!bundle.isVerified) {
                    throw BundleRefused("it was never verified: ${bundle.whyNotVerified ?: "it does not say why"}")
                }
                val program = Runtimes.load(bundle, folder, THREADS)
                answerer = QuestionAnswerer(bundle, program)
                State.Ready(Model(bundle.name, program.runtime, File(folder, bundle.program).length()))
            } catch (refused: BundleRefused) {
                State.Refused(refused.message.orEmpty())
            } catch (refused: TokenizerRefused) {
                State.Refused(refused.message.orEmpty())
            } catch (failed: ProgramFailed) {
                State.Refused(failed.message.orEmpty())
            } catch (failed: IOException) {
                State.Refused("its files cannot be written: ${failed.message}")
            }
        show(loaded)
    }

    private fun show(next: State) {
        main.post { state = next }
    }

    companion object {
        /** As many as phones have fast cores; more wait for the slow ones. */
        val THREADS = (Runtime.getRuntime().availableProcessors() / 2).coerceIn(1, 4)
    }
}

/** In `app/src/main/assets/model`, where `python -m pipeline.run --app android` puts it. */
internal fun shippedBundle(context: Context): ShippedBundle =
    ShippedBundle(AssetFolder(context.assets, "model"), File(context.noBackupFilesDir, "models"))
