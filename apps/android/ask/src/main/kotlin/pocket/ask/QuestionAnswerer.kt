package pocket.ask

import pocket.bundle.ModelBundle
import pocket.bundle.QuestionAnswering
import pocket.text.Answer
import pocket.text.SpanLogits
import pocket.text.Tokenizer
import pocket.text.answers
import pocket.text.windows

/**
 * What came of a question.
 *
 * @property answers the n best, best first
 * @property windows how many windows the passage took
 * @property inferenceNanoseconds what the program took for all of them; text is not in it
 */
class Reply(val answers: List<Answer>, val windows: Int, val inferenceNanoseconds: Long)

/** Answers questions about passages with a checked bundle and its loaded program, which it owns. */
class QuestionAnswerer(
    val bundle: ModelBundle,
    val program: Program,
    private val tokenizer: Tokenizer = Tokenizer.read(bundle.folder.open("tokenizer.json").use { it.readBytes() }),
) : AutoCloseable {
    private val task = bundle.task as QuestionAnswering

    /**
     * Runs every window of the passage and decodes their logits together.
     *
     * @param progress hears of windows done, and of all; what it throws ends the question
     * @throws pocket.text.TextRefused in the sentence that every platform says
     * @throws ProgramFailed where a window cannot be run
     */
    fun ask(question: String, passage: String, progress: (Int, Int) -> Unit = { _, _ -> }): Reply {
        val windows = tokenizer.windows(question, passage, task)
        val logits = ArrayList<SpanLogits>()
        var nanoseconds = 0L
        for (window in windows) {
            val padded = PaddedWindow.of(window.ids, bundle)
            val began = System.nanoTime()
            logits += program.run(padded)
            nanoseconds += System.nanoTime() - began
            progress(logits.size, windows.size)
        }
        return Reply(answers(passage, windows, logits, task), windows.size, nanoseconds)
    }

    override fun close() = program.close()
}
