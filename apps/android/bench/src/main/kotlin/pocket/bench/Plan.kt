package pocket.bench

/**
 * [warmup] rounds that are not kept, then at least [runs] that are, and rounds until [seconds], too, have passed.
 *
 * The same rules as device_bench/protocol.py: round i runs every program once, in the same order, so that a phone
 * that grows warm slows all of them and ratios taken within a round stay true.
 */
class Plan(val warmup: Int, val runs: Int, val seconds: Double) {
    init {
        if (warmup < 0 || runs < 1 || !(seconds >= 0 && seconds.isFinite())) {
            throw BenchmarkRefused("warmup must be at least 0, runs 1 and seconds 0, not $warmup, $runs and $seconds")
        }
    }

    /** As measurement.json names it: long from 1,024 runs and 60 seconds on. */
    val mode: String get() = if (runs >= LONG_RUNS && seconds >= LONG_SECONDS) "long" else "standard"

    /** How much of what it asks for is there, 0 to 1, after so many runs and so long since the warm-up. */
    fun share(done: Int, passedNanoseconds: Long): Double {
        val byTime = if (seconds > 0) passedNanoseconds / (seconds * 1e9) else 1.0
        return minOf(1.0, done.toDouble() / runs, byTime)
    }

    companion object {
        private const val LONG_RUNS = 1024
        private const val LONG_SECONDS = 60.0

        /** The least that device_bench takes for valid. */
        val STANDARD = Plan(warmup = 5, runs = 50, seconds = 10.0)
    }
}

/** Why nothing is measured. */
class BenchmarkRefused(sentence: String) : Exception(sentence)

/**
 * Runs every program once a round; what each kept run gave, by program.
 *
 * @param programs called with the number of their run, which starts anew at 0 after the warm-up
 * @param passesOf runs come in whole passes of so many, so that each query of a list is asked equally often
 * @param clock nanoseconds
 * @param step hears of the share of the plan that is done; what it throws ends the measurement
 */
fun <Outcome> inTurns(
    programs: List<(Int) -> Outcome>,
    plan: Plan,
    passesOf: Int = 1,
    clock: () -> Long = System::nanoTime,
    step: (Double) -> Unit = {},
): List<List<Outcome>> {
    repeat(plan.warmup) { round ->
        programs.forEach { it(round) }
        step(0.0)
    }
    val kept = programs.map { ArrayList<Outcome>() }
    val began = clock()
    var done = 0
    while (done % passesOf > 0 || plan.share(done, clock() - began) < 1) {
        programs.forEachIndexed { place, program -> kept[place] += program(done) }
        done += 1
        step(plan.share(done, clock() - began))
    }
    return kept
}
