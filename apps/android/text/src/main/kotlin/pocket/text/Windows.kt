package pocket.text

import pocket.bundle.QuestionAnswering

/** Why a text cannot be asked about, in the sentence that every platform says. */
class TextRefused(sentence: String) : Exception(sentence)

/**
 * One input of the program: [CLS] question [SEP] part of the passage [SEP].
 *
 * @property offsets per token the first of its code points in the passage and the one behind its last; 0 and 0
 * for tokens that are not of the passage
 */
class Window(val ids: IntArray, val offsets: List<Pair<Int, Int>>) {
    internal fun isPassage(token: Int): Boolean = offsets[token].second > 0
}

/**
 * All windows of a passage, neighbours sharing `stride` tokens.
 *
 * @throws TextRefused for an empty question or passage, or a question that leaves no room
 */
fun Tokenizer.windows(question: String, passage: String, task: QuestionAnswering): List<Window> {
    if (isBlank(question)) throw TextRefused("the question is empty; ask something")
    if (isBlank(passage)) throw TextRefused("the passage is empty; give some text")
    val asked = tokens(question)
    if (asked.isEmpty()) throw TextRefused("the question holds no readable text")
    val room = task.maxLength - asked.size - 3
    if (room < 1 || room <= task.stride) {
        throw TextRefused(
            "the question is ${asked.size} tokens long, which leaves no room for the passage in " +
                "${task.maxLength} tokens with a stride of ${task.stride}; shorten it",
        )
    }
    val tokens = tokens(passage)
    if (tokens.isEmpty()) throw TextRefused("the passage holds no readable text")
    val head = listOf(classification) + asked.map { it.id } + separator
    return parts(tokens, room, task.stride).map { part ->
        Window(
            ids = (head + part.map { it.id } + separator).toIntArray(),
            offsets = head.map { NOWHERE } + part.map { it.start to it.end } + NOWHERE,
        )
    }
}

private val NOWHERE = 0 to 0

private fun parts(tokens: List<Token>, room: Int, stride: Int): List<List<Token>> {
    val parts = ArrayList<List<Token>>()
    var first = 0
    while (true) {
        val last = minOf(first + room, tokens.size)
        parts += tokens.subList(first, last)
        if (last == tokens.size) return parts
        first += room - stride
    }
}

/**
 * The one window of a text or a pair of texts: [CLS] text [SEP], or [CLS] text [SEP] pair [SEP].
 *
 * What exceeds [maxLength] is cut off: of one text its end, of a pair the end of the longer one.
 *
 * @throws TextRefused for an empty text
 */
fun Tokenizer.ids(text: String, pair: String? = null, maxLength: Int): IntArray {
    if (isBlank(text) || pair != null && isBlank(pair)) throw TextRefused("the text is empty; give some")
    val first = tokens(text).map { it.id }
    if (pair == null) {
        return (listOf(classification) + first.take(maxLength - 2) + separator).toIntArray()
    }
    val second = tokens(pair).map { it.id }
    val (kept, keptOfPair) = shares(first.size, second.size, maxLength - 3)
    val ids = listOf(classification) + first.take(kept) + separator + second.take(keptOfPair) + separator
    return ids.toIntArray()
}

/**
 * How many tokens of each of two texts are kept; where both are too long, the second gets the odd one, or the
 * first if it is the longer.
 */
private fun shares(first: Int, second: Int, room: Int): Pair<Int, Int> {
    if (first + second <= room) return first to second
    val shorter = minOf(first, second, room / 2)
    return if (first > second) room - shorter to shorter else shorter to room - shorter
}

/** Nothing but white space, as Python strips it: the tables' and the four separators of ASCII. */
private fun isBlank(text: String): Boolean =
    codePoints(text).all { it in UnicodeTables.shared.whitespace || it in 0x1C..0x1F }
