package pocket.bench

import java.io.File
import pocket.ask.PaddedWindow
import pocket.ask.Program
import pocket.bundle.Directory
import pocket.bundle.ModelBundle
import pocket.bundle.Task

/**
 * A bundle in a comparison.
 *
 * @property role candidate, baseline or peak
 * @property folder where the bundle is
 */
class Contender(val role: String, val folder: File, val bundle: ModelBundle) {
    companion object {
        private val ROLES = listOf("candidate", "baseline", "peak")

        /**
         * Checks a bundle whose folder's name begins with its role: `bench-1/candidate-0`.
         *
         * @throws BenchmarkRefused for a name without a role
         * @throws pocket.bundle.BundleRefused in the sentence that every platform says
         */
        fun read(folder: File): Contender {
            val role = folder.name.substringBefore("-")
            if (role !in ROLES) throw BenchmarkRefused("${folder.name} names no role; ${ROLES.joinToString()} are known")
            return Contender(role, folder, ModelBundle.read(Directory(folder), Task.Kind.QUESTION_ANSWERING))
        }
    }
}

/**
 * One contender's times, in nanoseconds.
 *
 * @property first the first inference, which packs weights
 * @property runs the kept runs, inference alone
 */
class Timed(
    val contender: Contender,
    val runtime: String,
    val delegate: String?,
    val load: Long,
    val first: Long,
    val runs: List<Run>,
)

/** One inference: nanoseconds, and tokens of its window, padding included. */
class Run(val nanoseconds: Long, val length: Int)

/**
 * Loads all contenders, and has them take turns at batch 1 in this thread.
 *
 * @param load loads a program, anew for each contender
 * @param clock nanoseconds
 * @param step hears of the share of the plan that is done; what it throws ends the measurement
 */
fun benchmark(
    request: Request,
    load: (Contender) -> Program,
    clock: () -> Long = System::nanoTime,
    step: (Double) -> Unit = {},
): List<Timed> {
    val loaded = ArrayList<Loaded>()
    try {
        request.contenders.mapTo(loaded) { Loaded(it, request.queries, load, clock) }
        val firsts = loaded.map { it.run(0).nanoseconds }
        val kept = inTurns(loaded.map { it::run }, request.plan, request.queries.pass, clock, step)
        return loaded.indices.map { place -> loaded[place].timed(firsts[place], kept[place]) }
    } finally {
        loaded.forEach { it.program.close() }
    }
}

private class Loaded(
    private val contender: Contender,
    queries: Queries,
    load: (Contender) -> Program,
    private val clock: () -> Long,
) {
    private val windows = queries.windows.map { PaddedWindow.of(it, contender.bundle) }
    val program: Program
    private val nanoseconds: Long

    init {
        val began = clock()
        program = load(contender)
        nanoseconds = clock() - began
    }

    fun run(number: Int): Run {
        val window = windows[number % windows.size]
        val began = clock()
        program.run(window)
        return Run(clock() - began, window.length)
    }

    fun timed(first: Long, runs: List<Run>): Timed =
        Timed(contender, program.runtime, program.delegate, nanoseconds, first, runs)
}
