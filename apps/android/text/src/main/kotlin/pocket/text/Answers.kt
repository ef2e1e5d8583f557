package pocket.text

import kotlin.math.exp
import pocket.bundle.QuestionAnswering

/**
 * A span of a passage that answers a question.
 *
 * @property start first code point in the passage
 * @property end behind its last code point
 * @property score the sum of its first token's start logit and its last token's end logit
 * @property confidence its share of the softmax over the scores of the n best
 * @property window which window it was found in
 */
data class Answer(
    val text: String,
    val start: Int,
    val end: Int,
    val score: Double,
    val confidence: Double,
    val window: Int,
)

/** What a program gives for one window, a value a token. */
class SpanLogits(val start: FloatArray, val end: FloatArray)

/**
 * The n best answers of all windows, best first; of equal scores the first window's earliest span is best.
 *
 * @param logits one a window; values behind a window's tokens, where it was padded, are not read
 * @throws TextRefused when no score is finite
 */
fun answers(
    passage: String,
    windows: List<Window>,
    logits: List<SpanLogits>,
    task: QuestionAnswering,
): List<Answer> {
    val candidates =
        windows.indices.flatMap { best(task.nBest, spans(windows[it], it, logits[it], task)) }
    val found = best(task.nBest, candidates)
    if (found.isEmpty()) {
        throw TextRefused("the model's logits are not finite, so no answer can be read from them")
    }
    val weights = found.map { exp(it.score - found.first().score) }
    val sum = weights.sum()
    val points = codePoints(passage)
    return found.zip(weights) { candidate, weight ->
        val text = StringBuilder()
        for (place in candidate.start until candidate.end) text.appendCodePoint(points[place])
        Answer(
            text = text.toString(),
            start = candidate.start,
            end = candidate.end,
            score = candidate.score,
            confidence = weight / sum,
            window = candidate.window,
        )
    }
}

private class Candidate(val start: Int, val end: Int, val score: Double, val window: Int)

/** All spans of a window that may be answers, by their first token, then by their last. */
private fun spans(window: Window, number: Int, logits: SpanLogits, task: QuestionAnswering): List<Candidate> {
    val spans = ArrayList<Candidate>()
    for (first in window.ids.indices.filter(window::isPassage)) {
        for (last in first until minOf(first + task.maxAnswerLength, window.ids.size)) {
            // + 0.0, because sorting puts -0.0 below 0.0
            val score = logits.start[first].toDouble() + logits.end[last].toDouble() + 0.0
            if (!window.isPassage(last) || !score.isFinite()) continue
            spans += Candidate(window.offsets[first].first, window.offsets[last].second, score, number)
        }
    }
    return spans
}

/** The best of some candidates, each range once; of equal scores the earlier is the better. */
private fun best(count: Int, candidates: List<Candidate>): List<Candidate> =
    candidates.sortedByDescending { it.score }.distinctBy { it.start to it.end }.take(count)

/**
 * The most likely label's number and its share of the softmax; of equal logits the first label's.
 *
 * @param logits one a label
 */
fun mostLikelyLabel(logits: FloatArray): Pair<Int, Double> {
    val highest = logits.max()
    val number = logits.indexOfFirst { it == highest }
    return number to 1 / logits.sumOf { exp(it.toDouble() - highest.toDouble()) }
}

/** Where code points [start, end) of this string are in its UTF-16 code units, for highlighting an answer. */
fun String.unitsOfCodePoints(start: Int, end: Int): IntRange {
    val first = offsetByCodePoints(0, start)
    return first until offsetByCodePoints(first, end - start)
}
