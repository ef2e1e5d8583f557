package pocket.bench

import java.io.File
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import pocket.ask.PaddedWindow
import pocket.ask.Program
import pocket.ask.ProgramFailed
import pocket.bundle.BundleRefused
import pocket.bundle.Json
import pocket.bundle.readJson
import pocket.text.SpanLogits

/** The benchmark mode without a phone: fake programs and a clock that they move. */
class BenchmarkTest {
    @get:Rule
    val scratch = TemporaryFolder()

    private var now = 0L
    private val heard = ArrayList<String>()

    private inner class Fake(private val name: String, private val takes: (Int) -> Long) : Program {
        override val runtime = "Fake 1.0"
        override val delegate = "xnnpack"
        private var runs = 0

        override fun run(window: PaddedWindow): SpanLogits {
            heard += "$name${window.mask.sum()}"
            now += takes(runs++)
            return SpanLogits(FloatArray(window.length), FloatArray(window.length))
        }

        override fun close() {
            heard += "$name closed"
        }
    }

    /** A bundle as apps/golden has it, in its folder. */
    private fun folder(name: String): File {
        val folder = scratch.root.resolve(name).apply { mkdirs() }
        val suite = readJson(File(System.getProperty("pocket.golden") ?: "../../golden", "bundles.json").readBytes())
        val good = suite["cases"]!!.items!!.first { it["id"]?.text == "good-question-answering" }
        for ((name, content) in suite["files"]!!.members!!) {
            File(folder, name).apply { parentFile.mkdirs() }.writeText(content.text!!)
        }
        File(folder, "manifest.json").writeText(good["manifest"]!!.text!!)
        return folder
    }

    private fun contender(name: String): Contender = Contender.read(folder(name))

    private fun queries(vararg lengths: Int) = Queries(lengths.map { IntArray(it) { 7 } }, "squad")

    private fun run(contenders: List<Contender>, queries: Queries, plan: Plan, step: (Double) -> Unit = {}): List<Timed> =
        run(Request(contenders, queries, 1, plan), step)

    private fun run(request: Request, step: (Double) -> Unit = {}): List<Timed> {
        val names = ArrayDeque(listOf("a", "b"))
        return benchmark(
            request,
            load = {
                now += 1000
                names.removeFirst().let { name -> Fake(name) { run -> if (name == "a") 10L + run else 100L } }
            },
            clock = { now },
            step = step,
        )
    }

    @Test
    fun `contenders take turns, and the warm-up is not kept`() {
        val contenders = listOf(contender("bench-1/candidate-0"), contender("bench-1/baseline-1"))
        val timed = run(contenders, queries(5), Plan(warmup = 2, runs = 3, seconds = 0.0))
        assertEquals(listOf("candidate", "baseline"), timed.map { it.contender.role })
        assertEquals(List(6) { listOf("a5", "b5") }.flatten() + listOf("a closed", "b closed"), heard)
        assertEquals(listOf(13L, 14L, 15L), timed[0].runs.map { it.nanoseconds })
        assertEquals(listOf(100L, 100L, 100L), timed[1].runs.map { it.nanoseconds })
        assertEquals(listOf(10L, 1000L), listOf(timed[0].first, timed[0].load))
        assertEquals(List(3) { 128 }, timed[0].runs.map { it.length })
    }

    @Test
    fun `runs go on until the seconds have passed, and in whole passes`() {
        val timed = run(listOf(contender("candidate-0")), queries(5, 200, 6), Plan(warmup = 0, runs = 1, seconds = 35e-9))
        // 11 + 12 + 13 ns are over 35 ns after the third run, which is also the end of the pass
        assertEquals(listOf("a5", "a5", "a200", "a6", "a closed"), heard)
        assertEquals(listOf(128, 384, 128), timed.single().runs.map { it.length })
        heard.clear()
        run(listOf(contender("candidate-0")), queries(5, 200, 6), Plan(warmup = 0, runs = 4, seconds = 0.0))
        assertEquals(6, heard.size - 2)
    }

    @Test
    fun `what ends a measurement leaves no program loaded`() {
        val plan = Plan(warmup = 1, runs = 50, seconds = 0.0)
        assertThrows(InterruptedException::class.java) {
            run(listOf(contender("candidate-0")), queries(5), plan) { if (it > 0.1) throw InterruptedException() }
        }
        assertEquals("a closed", heard.last())
        heard.clear()
        assertThrows(ProgramFailed::class.java) {
            benchmark(
                Request(listOf(contender("candidate-0"), contender("baseline-1")), queries(5), 1, plan),
                load = { if (heard.isEmpty()) Fake("a") { 1 }.also { heard += "loaded" } else throw ProgramFailed("no room") },
            )
        }
        assertEquals(listOf("loaded", "a closed"), heard)
    }

    @Test
    fun `the written file is what device_bench reads`() {
        val contenders = listOf("candidate-0", "baseline-1").map(::contender)
        val request = Request(contenders, queries(5, 200), threads = 2, Plan(warmup = 5, runs = 50, seconds = 0.0))
        val timed = run(request)
        val place = Place("Pixel 8", "Google Tensor G3", 9, "Android 15 (API 35)", isVirtual = false)
        val after = State("light", 31.5, 80.0, isCharging = true)
        val made = mapOf("time" to "2026-11-21T12:00:00Z", "command" to "org.pocketdistil.app 1.0")
        val json = measurement(place, State(), after, request, timed, 123456789, listOf("the app was left"), made)
        val out = System.getProperty("pocket.measurement")?.let(::File) ?: scratch.root.resolve("measurement.json")
        writeWhole(out, json.indented())
        assertEquals(json, readJson(out.readBytes()))
        assertFalse(File(out.parentFile, ".${out.name}.part").exists())
        val (candidate, baseline) = json["programs"]!!.items!!
        assertEquals("candidate", candidate["role"]?.text)
        assertEquals("baseline", baseline["role"]?.text)
        assertEquals(request.plan.runs, candidate["samples_ns"]!!.items!!.size)
        assertEquals(null, candidate["peak_resident_bytes"])
        val alone = measurement(place, State(), after, request, timed.take(1), 123456789, emptyList(), made)
        assertEquals(Json.Number("123456789"), alone["programs"]!!.items!!.single()["peak_resident_bytes"])
        assertEquals(Json.Flag(true), alone["validity"]!!["valid"])
    }

    @Test
    fun `extras are read, and refused in a sentence`() {
        val root = scratch.root
        listOf("b/candidate-0", "b/baseline-1", "b/baseline-2").forEach(::folder)
        File(root, "b/queries").writeText("101 7 102\n101 7 7 102\n")
        val plan = Plan.STANDARD
        val request = Request.of(root, "b/candidate-0", "b/baseline-1,b/baseline-2", "b/queries", "squad", 1, plan)
        assertEquals(listOf("candidate-0", "baseline-1", "baseline-2"), request.contenders.map { it.folder.name })
        assertEquals(listOf("candidate", "baseline", "baseline"), request.contenders.map { it.role })
        assertEquals(listOf(3, 4), request.queries.windows.map { it.size })
        assertEquals(2, request.queries.pass)
        assertTrue(request.queries.of(3) contentEquals intArrayOf(101, 7, 7, 102))

        fun refusal(run: () -> Unit): String? = assertThrows(BenchmarkRefused::class.java) { run() }.message
        assertEquals(
            "a benchmark wants the extras bundle, queries and source",
            refusal { Request.of(root, null, null, "b/queries", "squad", 1, plan) },
        )
        assertEquals("../x is outside of the app's files", refusal { Request.inside(root, "../x") })
        assertEquals("none is not there", refusal { Request.of(root, "b", null, "none", "squad", 1, plan) })
        assertEquals(
            "threads must be at least 1, not 0",
            refusal { Request.of(root, "b/candidate-0", null, "b/queries", "squad", 0, plan) },
        )
        File(root, "words").writeText("one two\n")
        assertEquals("words holds one, which is no token id", refusal { Request.of(root, "b", null, "words", "squad", 1, plan) })
        File(root, "nothing").writeText("\n")
        assertEquals(
            "the queries hold no window, or an empty one",
            refusal { Request.of(root, "b", null, "nothing", "squad", 1, plan) },
        )
        assertEquals(
            "warmup must be at least 0, runs 1 and seconds 0, not 5, 0 and 1.0",
            refusal { Plan(5, 0, 1.0) },
        )
        assertEquals(
            "x-1 names no role; candidate, baseline, peak are known",
            refusal { Request.of(root, "b/x-1", null, "b/queries", "squad", 1, plan) },
        )
        File(root, "b/baseline-1/vocab.txt").appendText("more")
        val altered = assertThrows(BundleRefused::class.java) { Contender.read(File(root, "b/baseline-1")) }
        assertEquals("vocab.txt was altered; make the bundle again", altered.message)
    }

    @Test
    fun `long mode is long in both`() {
        assertEquals("long", Plan(5, 1024, 60.0).mode)
        assertEquals("standard", Plan(5, 1024, 59.0).mode)
        assertEquals("standard", Plan.STANDARD.mode)
    }

    @Test
    fun `multiply-adds are a mean over the windows that ran`() {
        val told = readJson("""{"per_token": 10, "per_pair": 2, "per_window": 1}""".toByteArray())
        assertEquals((10L * 3 + 2 * 9 + 1 + 10 * 5 + 2 * 25 + 1) / 2, multiplyAdds(told, listOf(3, 5)))
        assertEquals(null, multiplyAdds(null, listOf(3)))
    }

    @Test
    fun `percentiles lie between neighbours`() {
        val samples = listOf(40L, 10L, 20L, 30L)
        assertEquals(25.0, percentile(samples, 0.5), 0.0)
        assertEquals(37.0, percentile(samples, 0.9), 1e-9)
        assertEquals(10.0, percentile(samples, 0.0), 0.0)
        assertEquals(40.0, percentile(samples, 1.0), 0.0)
        assertEquals(7.0, percentile(listOf(7L), 0.99), 0.0)
    }
}
