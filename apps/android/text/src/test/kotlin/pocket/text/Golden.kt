package pocket.text

import java.io.File
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import pocket.bundle.Json
import pocket.bundle.QuestionAnswering
import pocket.bundle.readJson

/** apps/golden, made by `python -m pipeline.golden_suite`. */
internal object Golden {
    private val folder = File(System.getProperty("pocket.golden") ?: "../../golden").canonicalFile

    fun read(name: String): Json = readJson(File(folder, name).readBytes())

    /** The tokenizers that the cases name. */
    val tokenizers: Map<String, Tokenizer> by lazy {
        val vocabulary = Tokenizer.readVocabulary(File(folder, "vocab.txt").readText())
        read("tokenizers.json").members!!.mapValues { (_, described) ->
            val file = described["file"]?.text
            if (file != null) {
                Tokenizer.read(File(folder.parentFile.parentFile, file).readBytes())
            } else {
                Tokenizer(
                    vocabulary = vocabulary,
                    lowercases = described["lowercase"]!!.flag!!,
                    stripsAccents = described["strip_accents"]?.flag,
                    cleansText = described["clean_text"]!!.flag!!,
                    separatesIdeographs = described["handle_chinese_chars"]!!.flag!!,
                )
            }
        }
    }

    /** Compares every case; a case is given as pairs of what it is and what it should be. */
    fun compare(name: String, atLeast: Int, outcomes: (Json) -> List<Pair<Any?, Any?>>) {
        val cases = read("$name.json").items!!
        val mismatches = ArrayList<String>()
        var compared = 0
        for (given in cases) {
            for ((got, wanted) in outcomes(given)) {
                compared += 1
                if (got != wanted) mismatches += "${given["id"]?.text}: $got, not $wanted"
            }
        }
        println("$name: ${cases.size} cases, $compared compared, ${mismatches.size} mismatches")
        assertTrue(cases.size >= atLeast)
        assertEquals(emptyList<String>(), mismatches.take(5))
    }
}

internal fun Json.string(key: String): String = this[key]!!.text!!

internal fun Json.number(key: String): Int = this[key]!!.whole!!

internal fun Json.numbers(): List<Int> = items!!.map { it.whole!! }

/** A text, given as a string, as UTF-16 code units, or as a unit that repeats; null where it is not given. */
internal fun Json.textOf(key: String): String? {
    this[key]?.text?.let { return it }
    this["${key}_utf16"]?.let { units -> return units.numbers().joinToString("") { it.toChar().toString() } }
    val unit = codePoints(this["repeated"]?.text ?: return null)
    val text = StringBuilder()
    repeat(number("characters")) { text.appendCodePoint(unit[it % unit.size]) }
    return text.toString()
}

internal val Json.tokenizer: Tokenizer get() = Golden.tokenizers.getValue(string("tokenizer"))

internal val Json.questionAnswering: QuestionAnswering
    get() =
        QuestionAnswering(
            maxLength = number("max_length"),
            stride = number("stride"),
            nBest = this["n_best"]?.whole ?: 20,
            maxAnswerLength = this["max_answer_length"]?.whole ?: 30,
        )
