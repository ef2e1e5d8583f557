package pocket.bench

import pocket.ask.PaddedWindow
import pocket.ask.Program
import pocket.bundle.ModelBundle

/** A program in a comparison: its role is candidate, baseline or peak. */
class Contender(val role: String, val bundle: ModelBundle) {
    companion object {
        /** The role that a folder's name begins with: `candidate` of `bench-1/candidate-0`. */
        fun role(folder: String): String {
            val role = folder.substringAfterLast("/").substringBefore("-")
            if (role !in listOf("candidate", "baseline", "peak")) {
                throw BenchmarkRefused("$folder names no role; candidate, baseline and peak are known")
            }
            return role
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
    contenders: List<Contender>,
    queries: Queries,
    plan: Plan,
    load: (ModelBundle) -> Program,
    clock: () -> Long = System::nanoTime,
    step: (Double) -> Unit = {},
): List<Timed> {
    val loaded = ArrayList<Loaded>()
    try {
        contenders.mapTo(loaded) { Loaded(it, queries, load, clock) }
        val firsts = loaded.map { it.run(0).nanoseconds }
        val kept = inTurns(loaded.map { it::run }, plan, queries.pass, clock, step)
        return loaded.indices.map { place -> loaded[place].timed(firsts[place], kept[place]) }
    } finally {
        loaded.forEach { it.program.close() }
    }
}

private class Loaded(
    private val contender: Contender,
    queries: Queries,
    load: (ModelBundle) -> Program,
    private val clock: () -> Long,
) {
    private val windows = queries.windows.map { PaddedWindow.of(it, contender.bundle) }
    val program: Program
    private val nanoseconds: Long

    init {
        val began = clock()
        program = load(contender.bundle)
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
