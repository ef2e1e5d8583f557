package pocket.ask

import java.io.File
import java.io.FileNotFoundException
import java.io.InputStream
import kotlin.math.abs
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import pocket.bundle.Folder
import pocket.bundle.Json
import pocket.bundle.ModelBundle
import pocket.bundle.QuestionAnswering
import pocket.bundle.readJson
import pocket.text.SpanLogits
import pocket.text.TextRefused
import pocket.text.Tokenizer

/** The golden answers again, the whole way: through padding, a program that gives recorded logits, and decoding. */
class QuestionAnswererTest {
    private val golden = File(System.getProperty("pocket.golden") ?: "../../golden").canonicalFile

    /** Gives what was recorded, and behind it, where padding is, what would win if it were read. */
    private class Recorded(private val logits: Iterator<SpanLogits>) : Program {
        val asked = ArrayList<PaddedWindow>()
        var isClosed = false
        override val runtime = "a recording"
        override val delegate: String? = null

        override fun run(window: PaddedWindow): SpanLogits {
            asked += window
            val recorded = logits.next()
            return SpanLogits(padded(recorded.start, window), padded(recorded.end, window))
        }

        private fun padded(values: FloatArray, window: PaddedWindow): FloatArray =
            FloatArray(window.length) { if (it < values.size) values[it] else 1e6f }

        override fun close() {
            isClosed = true
        }
    }

    private object Nothing : Folder {
        override fun files() = emptySet<String>()

        override fun open(name: String): InputStream = throw FileNotFoundException(name)
    }

    private val tokenizer =
        Tokenizer.read(golden.parentFile.resolveSibling("pipeline/pretrained/pocket-general/tokenizer.json").readBytes())

    @Test
    fun `golden answers come out of padded windows`() {
        val cases = readJson(File(golden, "answers.json").readBytes()).items!!
        val mismatches = ArrayList<String>()
        for ((place, given) in cases.withIndex()) {
            val lengths = if (place % 2 == 0) listOf(20, 32, 64) else (2..64).toList()
            val bundle = bundle(given, lengths)
            val recorded = Recorded(logits(given).iterator())
            val got = outcome(QuestionAnswerer(bundle, recorded, tokenizer), given)
            if (got != wanted(given)) mismatches += "${given["id"]?.text}: $got, not ${wanted(given)}"
            for (window in recorded.asked) {
                val tokens = window.mask.sum()
                assertEquals(lengths.first { it >= tokens }, window.length)
                assertTrue((0 until window.length).all { window.mask[it] == if (it < tokens) 1 else 0 })
                assertTrue((tokens until window.length).all { window.ids[it] == 0 })
            }
        }
        println("asked again: ${cases.size} compared, ${mismatches.size} mismatches")
        assertTrue(cases.size >= 450)
        assertEquals(emptyList<String>(), mismatches.take(5))
    }

    @Test
    fun `windows are counted, and progress may end a question`() {
        val given = readJson(File(golden, "answers.json").readBytes()).items!!.first { logits(it).size > 2 }
        val recorded = Recorded(logits(given).iterator())
        val answerer = QuestionAnswerer(bundle(given, listOf(64)), recorded, tokenizer)
        val heard = ArrayList<Pair<Int, Int>>()
        assertThrows(InterruptedException::class.java) {
            answerer.ask(given["question"]!!.text!!, given["passage"]!!.text!!) { done, all ->
                heard += done to all
                if (done == 2) throw InterruptedException()
            }
        }
        assertEquals(listOf(1, 2), heard.map { it.first })
        assertEquals(setOf(logits(given).size), heard.map { it.second }.toSet())
        answerer.close()
        assertTrue(recorded.isClosed)
    }

    @Test
    fun `a window that no length holds is refused in a sentence`() {
        val bundle = bundle(Json.Null, listOf(8, 16))
        val refused = assertThrows(ProgramFailed::class.java) { PaddedWindow.of(IntArray(17), bundle) }
        assertEquals("small takes at most 16 tokens, not 17", refused.message)
    }

    private fun bundle(given: Json, lengths: List<Int>): ModelBundle {
        fun setting(key: String) = given[key]?.whole ?: 16
        return ModelBundle(
            folder = Nothing,
            name = "small",
            target = "tflite",
            program = "model.tflite",
            task = QuestionAnswering(setting("max_length"), setting("stride"), setting("n_best"), setting("max_answer_length")),
            lengths = lengths,
            metrics = emptyMap(),
            isVerified = true,
            whyNotVerified = null,
            seal = "",
        )
    }

    private fun outcome(answerer: QuestionAnswerer, given: Json): List<Any?> =
        try {
            val reply = answerer.ask(text(given, "question"), text(given, "passage"))
            reply.answers.map { listOf(it.text, it.start, it.end, it.window, Near(it.confidence)) }
        } catch (refused: TextRefused) {
            listOf(refused.message)
        }

    /** A text, given as a string or as UTF-16 code units. */
    private fun text(given: Json, key: String): String =
        given[key]?.text ?: given["${key}_utf16"]!!.items!!.joinToString("") { it.whole!!.toChar().toString() }

    private fun wanted(given: Json): List<Any?> =
        given["answers"]?.items?.map {
            val places = listOf("start", "end", "window").map { key -> it[key]!!.whole }
            listOf(it["text"]!!.text) + places + Near(it["confidence"]!!.double!!)
        } ?: listOf(given["refused"]!!.text)

    /** Equal within 1e-9: exp differs in its last digits. */
    private class Near(private val value: Double) {
        override fun equals(other: Any?): Boolean = other is Near && abs(value - other.value) < 1e-9

        override fun hashCode(): Int = 0

        override fun toString(): String = "$value"
    }

    private fun logits(given: Json): List<SpanLogits> {
        val ends = given["end_256ths"]!!.items!!
        return given["start_256ths"]!!.items!!.zip(ends) { start, end -> SpanLogits(floats(start), floats(end)) }
    }

    private fun floats(numbers: Json): FloatArray =
        numbers.items!!.map { it.whole?.div(256f) ?: it.text!!.toFloat() }.toFloatArray()
}
