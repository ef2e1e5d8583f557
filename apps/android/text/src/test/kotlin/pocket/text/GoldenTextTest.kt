package pocket.text

import java.security.MessageDigest
import kotlin.math.abs
import org.junit.Assert.assertEquals
import org.junit.Test
import pocket.bundle.Json

/** Everything in apps/golden but bundles: not one id, offset or answer may differ from Python's. */
class GoldenTextTest {
    @Test
    fun tokenization() =
        Golden.compare("tokenization", atLeast = 2000) { given ->
            val text = given.textOf("text")!!
            Golden.tokenizers.map { (name, tokenizer) ->
                val tokens = tokenizer.tokens(text)
                val got = listOf(tokens.map { it.id }, tokens.flatMap { listOf(it.start, it.end) })
                got to given[name]!!.items!!.map { it.numbers() }
            }
        }

    @Test
    fun `every code point`() {
        val suite = Golden.read("code_points.json")
        for (block in suite["blocks"]!!.items!!) {
            val points = (block.number("first")..block.number("last")).filter { it !in 0xD800..0xDFFF }
            for ((name, tokenizer) in Golden.tokenizers - "pocket") {
                val digest = MessageDigest.getInstance("SHA-256")
                for (point in points) {
                    val text = StringBuilder(suite.string("before")).appendCodePoint(point).append(suite.string("after"))
                    digest.update(line(text.toString(), tokenizer.normalizer).toByteArray())
                }
                assertEquals("$name from ${points.first()} on", block.string(name), hexadecimal(digest.digest()))
            }
        }
    }

    private fun line(text: String, normalizer: Normalizer): String {
        val letters = codePoints(text).mapIndexed { place, point -> Letter(point, place) }
        val words =
            normalizer.words(normalizer.normalize(letters)).map { word ->
                StringBuilder().also { line -> word.forEach { line.appendCodePoint(it.point) } }
            }
        return words.joinToString(" ", postfix = "\n")
    }

    @Test
    fun windows() =
        Golden.compare("windows", atLeast = 450) { given ->
            val got =
                try {
                    val windows =
                        given.tokenizer.windows(given.textOf("question")!!, given.textOf("passage")!!, given.questionAnswering)
                    windows.map { window ->
                        listOf(window.ids.toList(), window.offsets.flatMap { listOf(it.first, it.second) })
                    }
                } catch (refused: TextRefused) {
                    return@compare listOf(refused.message to given["refused"]?.text)
                }
            val hash = given["sha256"]?.text
            if (hash != null) {
                val written = got.toString().replace(" ", "")
                val found = hexadecimal(MessageDigest.getInstance("SHA-256").digest(written.toByteArray()))
                listOf(got.size to given.number("count"), found to hash)
            } else {
                listOf(got to given["windows"]?.items?.map { window -> window.items!!.map { it.numbers() } })
            }
        }

    @Test
    fun answers() =
        Golden.compare("answers", atLeast = 450) { given ->
            val passage = given.textOf("passage")!!
            val windows = given.tokenizer.windows(given.textOf("question")!!, passage, given.questionAnswering)
            val ends = given["end_256ths"]!!.items!!
            val logits = given["start_256ths"]!!.items!!.zip(ends) { start, end -> SpanLogits(floats(start), floats(end)) }
            try {
                val found = answers(passage, windows, logits, given.questionAnswering)
                val wanted = given["answers"]?.items.orEmpty()
                listOf(found.size to wanted.size) +
                    found.zip(wanted).map { (answer, stated) ->
                        described(answer, passage) to described(stated, answer.confidence)
                    }
            } catch (refused: TextRefused) {
                listOf(refused.message to given["refused"]?.text)
            }
        }

    private fun described(answer: Answer, passage: String): List<Any> {
        val units = passage.unitsOfCodePoints(answer.start, answer.end)
        val score = (answer.score * 256).toInt()
        val places = listOf(answer.start, answer.end, units.first, units.last + 1, answer.window, score)
        return listOf(answer.text, places, answer.confidence)
    }

    private fun described(stated: Json, confidence: Double): List<Any> {
        val (first, last) = stated["utf16"]!!.numbers()
        val ends = listOf(stated.number("start"), stated.number("end"), first, last)
        val places = ends + listOf(stated.number("window"), stated.number("score_256ths"))
        return listOf(stated.string("text"), places, near(stated["confidence"]!!.double!!, confidence))
    }

    @Test
    fun texts() =
        Golden.compare("texts", atLeast = 300) { given ->
            try {
                val ids = given.tokenizer.ids(given.textOf("text")!!, given.textOf("pair"), given.number("max_length"))
                val (number, confidence) = mostLikelyLabel(floats(given["logits_256ths"]!!))
                listOf(
                    ids.toList() to given["ids"]?.numbers(),
                    number to given.number("number"),
                    confidence to near(given["confidence"]!!.double!!, confidence),
                )
            } catch (refused: TextRefused) {
                listOf(refused.message to given["refused"]?.text)
            }
        }

    /** The confidence that was found where it is within 1e-9 of the stated one: exp differs in its last digits. */
    private fun near(stated: Double, found: Double): Double = if (abs(stated - found) < 1e-9) found else stated

    private fun floats(numbers: Json): FloatArray =
        numbers.items!!.map { it.whole?.div(256f) ?: it.text!!.toFloat() }.toFloatArray()

    private fun hexadecimal(bytes: ByteArray): String = bytes.joinToString("") { "%02x".format(it) }
}
