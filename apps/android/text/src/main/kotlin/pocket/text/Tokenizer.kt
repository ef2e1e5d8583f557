package pocket.text

import pocket.bundle.Json
import pocket.bundle.MalformedJson
import pocket.bundle.readJson

/** A piece of the vocabulary, and the code points [start, end) of the text that it stands for. */
data class Token(val id: Int, val start: Int, val end: Int)

/** Why a tokenizer.json is not read. */
class TokenizerRefused : Exception("tokenizer.json describes no tokenizer of BERT's kind; make the bundle again")

/**
 * BERT's WordPiece tokenizer, equal to Hugging Face's in ids and offsets.
 *
 * Words are cut greedily into the longest pieces that the vocabulary has; a word that cannot be, or is longer
 * than 100 code points, is unknown as a whole.
 *
 * @param vocabulary pieces with their ids; those inside of words begin with ##
 * @throws TokenizerRefused when a special piece is missing
 */
class Tokenizer(
    private val vocabulary: Map<String, Int>,
    lowercases: Boolean,
    stripsAccents: Boolean? = null,
    cleansText: Boolean = true,
    separatesIdeographs: Boolean = true,
) {
    internal val normalizer =
        Normalizer(
            cleansText = cleansText,
            separatesIdeographs = separatesIdeographs,
            stripsAccents = stripsAccents ?: lowercases,
            lowercases = lowercases,
        )
    private val special =
        SPECIAL.map { piece -> codePoints(piece) to (vocabulary[piece] ?: throw TokenizerRefused()) }
    private val unknown = special[1].second
    internal val classification = special[2].second
    internal val separator = special[3].second
    private val longestPiece = vocabulary.keys.maxOf { it.codePointCount(0, it.length) }

    /** The tokens of a text, without [CLS] and [SEP] around them. */
    fun tokens(text: String): List<Token> {
        val letters = codePoints(text).mapIndexed { place, point -> Letter(point, place) }
        val tokens = ArrayList<Token>()
        var first = 0
        var place = 0
        while (place < letters.size) {
            val found = special.firstOrNull { (points, _) -> isSpelled(points, letters, place) }
            if (found == null) {
                place += 1
                continue
            }
            val end = place + found.first.size
            add(letters.subList(first, place), tokens)
            tokens += Token(found.second, place, end)
            place = end
            first = end
        }
        add(letters.subList(first, letters.size), tokens)
        return tokens
    }

    private fun isSpelled(points: List<Int>, letters: List<Letter>, place: Int): Boolean =
        place + points.size <= letters.size && points.indices.all { letters[place + it].point == points[it] }

    private fun add(letters: List<Letter>, tokens: MutableList<Token>) {
        normalizer.words(normalizer.normalize(letters)).flatMapTo(tokens, ::pieces)
    }

    private fun pieces(word: List<Letter>): List<Token> {
        val whole = listOf(Token(unknown, word.first().origin, word.last().origin + 1))
        if (word.size > LONGEST_WORD) return whole
        val pieces = ArrayList<Token>()
        var first = 0
        while (first < word.size) {
            val (id, end) = longestPiece(word, first) ?: return whole
            pieces += Token(id, word[first].origin, word[end - 1].origin + 1)
            first = end
        }
        return pieces
    }

    /** The id of the longest piece that a word goes on with, and where it ends. */
    private fun longestPiece(word: List<Letter>, first: Int): Pair<Int, Int>? {
        for (end in minOf(word.size, first + longestPiece) downTo first + 1) {
            val piece = StringBuilder(if (first == 0) "" else "##")
            for (place in first until end) piece.appendCodePoint(word[place].point)
            vocabulary[piece.toString()]?.let { return it to end }
        }
        return null
    }

    companion object {
        private const val LONGEST_WORD = 100
        private val SPECIAL = listOf("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

        /**
         * Reads a bundle's tokenizer.json.
         *
         * @throws TokenizerRefused for a file that describes anything else than BERT's tokenizer
         */
        fun read(bytes: ByteArray): Tokenizer {
            val json =
                try {
                    readJson(bytes)
                } catch (_: MalformedJson) {
                    throw TokenizerRefused()
                }
            val model = json["model"]
            val flags = json["normalizer"]
            val isBert =
                model?.get("type")?.text == "WordPiece" &&
                    model["continuing_subword_prefix"]?.text == "##" &&
                    model["unk_token"]?.text == "[UNK]" &&
                    model["max_input_chars_per_word"]?.whole == LONGEST_WORD &&
                    json["pre_tokenizer"]?.get("type")?.text == "BertPreTokenizer" &&
                    flags?.get("type")?.text == "BertNormalizer" &&
                    areSpecial(json["added_tokens"])
            if (!isBert) throw TokenizerRefused()
            return Tokenizer(
                vocabulary = model["vocab"]?.members?.mapValues { it.value.whole ?: throw TokenizerRefused() }.orEmpty(),
                lowercases = flags["lowercase"]?.flag ?: throw TokenizerRefused(),
                stripsAccents = flags["strip_accents"]?.flag,
                cleansText = flags["clean_text"]?.flag ?: throw TokenizerRefused(),
                separatesIdeographs = flags["handle_chinese_chars"]?.flag ?: throw TokenizerRefused(),
            )
        }

        /** Whether the added tokens are the five special pieces, each found in the text as it was typed. */
        private fun areSpecial(tokens: Json?): Boolean {
            val plain =
                tokens?.items.orEmpty().filter { token ->
                    listOf("lstrip", "rstrip", "single_word", "normalized").all { token[it]?.flag == false }
                }
            return plain.size == tokens?.items?.size &&
                plain.mapNotNull { it["content"]?.text }.sorted() == SPECIAL.sorted()
        }

        /** Reads a vocab.txt: a piece a line, whose number, from 0, is the id. Only a line feed ends a line. */
        fun readVocabulary(text: String): Map<String, Int> =
            text.split("\n").withIndex().filter { it.value.isNotEmpty() }.associate { it.value to it.index }
    }
}

/** A text's code points; a half of a surrogate pair that stands alone is U+FFFD. */
internal fun codePoints(text: String): List<Int> {
    val points = ArrayList<Int>(text.length)
    var place = 0
    while (place < text.length) {
        val point = text.codePointAt(place)
        points += if (point in 0xD800..0xDFFF) 0xFFFD else point
        place += Character.charCount(point)
    }
    return points
}
