package org.pocketdistil.app

import android.app.Activity
import android.content.Intent
import android.os.Bundle
import android.text.Editable
import android.text.Spanned
import android.text.TextWatcher
import android.text.style.BackgroundColorSpan
import android.view.View
import android.view.ViewGroup
import android.view.inputmethod.InputMethodManager
import android.widget.AdapterView
import android.widget.ArrayAdapter
import android.widget.Button
import android.widget.EditText
import android.widget.ScrollView
import android.widget.Spinner
import android.widget.TextView
import pocket.ask.Reply
import pocket.text.unitsOfCodePoints

/** Pick a passage or paste one, ask, see the answer in its place. */
class MainActivity : Activity() {
    private val questions get() = (application as PocketApp).questions
    private lateinit var samples: List<Sample>

    /** The sample in the fields; one past the last for the user's own text. */
    private var chosen = NONE

    private lateinit var question: EditText
    private lateinit var passage: EditText
    private lateinit var ask: Button
    private lateinit var answer: TextView
    private lateinit var details: TextView
    private lateinit var find: Button

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.main)
        question = view(R.id.question)
        passage = view(R.id.passage)
        ask = view(R.id.ask)
        answer = view(R.id.answer)
        details = view(R.id.details)
        find = view(R.id.find)
        samples = Sample.all(assets)
        chosen = savedInstanceState?.getInt(CHOSEN) ?: NONE
        if (chosen != NONE) offerQuestions()

        ask.setOnClickListener { ask() }
        question.setOnEditorActionListener { _, _, _ ->
            ask()
            true
        }
        find.setOnClickListener { scrollToAnswer() }
        view<Button>(R.id.benchmark).setOnClickListener {
            startActivity(Intent(this, BenchmarkActivity::class.java))
        }
        offerSamples()
        forgetAnswersToOtherTexts()
    }

    override fun onSaveInstanceState(outState: Bundle) {
        super.onSaveInstanceState(outState)
        outState.putInt(CHOSEN, chosen)
    }

    override fun onStart() {
        super.onStart()
        questions.listener = ::show
    }

    override fun onStop() {
        questions.listener = null
        super.onStop()
    }

    override fun onRestoreInstanceState(savedInstanceState: Bundle) {
        super.onRestoreInstanceState(savedInstanceState)
        // the texts are back only now
        show(questions.state)
    }

    private fun ask() {
        val keyboard = getSystemService(InputMethodManager::class.java)
        keyboard?.hideSoftInputFromWindow(question.windowToken, 0)
        questions.ask(question.text.toString(), passage.text.toString())
    }

    private fun show(state: State) {
        ask.isEnabled = state is State.Loaded && state !is State.Asking
        find.visibility = View.GONE
        details.text = ""
        unmark()
        if (state is State.Loaded) {
            val megabytes = state.model.programBytes / 1e6
            view<TextView>(R.id.model).text =
                getString(R.string.model, state.model.name, megabytes, state.model.runtime)
        }
        say(
            when (state) {
                State.Loading -> getString(R.string.loading)
                is State.Refused -> getString(R.string.refused, state.why)
                is State.Ready -> ""
                is State.Asking -> {
                    if (state.windows > 1) details.text = getString(R.string.part, state.done, state.windows)
                    getString(R.string.asking)
                }
                is State.NotAnswered -> state.why
                is State.Answered -> if (state.passage == passage.text.toString()) showReply(state) else ""
            },
        )
    }

    /** A live region speaks whatever is set, be it the same. */
    private fun say(text: String) {
        if (answer.text.toString() != text) answer.text = text
    }

    /** The answer; around it, how sure the model is, how long it took, and where it was found. */
    private fun showReply(state: State.Answered): String {
        showDetails(state.reply)
        mark(state)
        return state.reply.answers.first().text
    }

    private fun showDetails(reply: Reply) {
        val windows = resources.getQuantityString(R.plurals.windows, reply.windows, reply.windows)
        val percent = reply.answers.first().confidence * 100
        details.text = getString(R.string.details, percent, reply.inferenceNanoseconds / 1e6, windows)
    }

    private fun mark(state: State.Answered) {
        val best = state.reply.answers.first()
        val units = state.passage.unitsOfCodePoints(best.start, best.end)
        val color = BackgroundColorSpan(getColor(R.color.highlight))
        passage.text.setSpan(color, units.first, units.last + 1, Spanned.SPAN_EXCLUSIVE_EXCLUSIVE)
        find.visibility = View.VISIBLE
    }

    private fun marks(): Array<BackgroundColorSpan> =
        passage.text.getSpans(0, passage.length(), BackgroundColorSpan::class.java)

    private fun unmark() = marks().forEach { passage.text.removeSpan(it) }

    private fun scrollToAnswer() {
        val mark = marks().firstOrNull() ?: return
        val first = passage.text.getSpanStart(mark)
        val last = passage.text.getSpanEnd(mark)
        val layout = passage.layout ?: return
        val top = passage.top + layout.getLineTop(layout.getLineForOffset(first))
        view<ScrollView>(R.id.scroll).smoothScrollTo(0, top)
        passage.requestFocus()
        passage.setSelection(first, last)
    }

    private fun offerSamples() {
        val titles = samples.map { it.title } + getString(R.string.own_text)
        val spinner: Spinner = view(R.id.samples)
        spinner.adapter =
            ArrayAdapter(this, android.R.layout.simple_spinner_item, titles).apply {
                setDropDownViewResource(android.R.layout.simple_spinner_dropdown_item)
            }
        spinner.onItemSelectedListener =
            object : AdapterView.OnItemSelectedListener {
                override fun onItemSelected(parent: AdapterView<*>?, view: View?, position: Int, id: Long) {
                    // also called when a turned screen is built again, whose texts the user may have changed
                    if (position == chosen) return
                    chosen = position
                    val sample = samples.getOrNull(position)
                    passage.setText(sample?.passage.orEmpty())
                    question.setText(sample?.questions?.firstOrNull().orEmpty())
                    offerQuestions()
                }

                override fun onNothingSelected(parent: AdapterView<*>?) = Unit
            }
    }

    private fun offerQuestions() {
        val list: ViewGroup = view(R.id.questions)
        list.removeAllViews()
        for (suggested in samples.getOrNull(chosen)?.questions.orEmpty()) {
            val button = layoutInflater.inflate(R.layout.question, list, false) as Button
            button.text = suggested
            button.setOnClickListener {
                question.setText(suggested)
                ask()
            }
            list.addView(button)
        }
    }

    private fun forgetAnswersToOtherTexts() {
        passage.addTextChangedListener(
            object : TextWatcher {
                override fun beforeTextChanged(text: CharSequence?, start: Int, count: Int, after: Int) = Unit

                override fun onTextChanged(text: CharSequence?, start: Int, before: Int, count: Int) = Unit

                override fun afterTextChanged(text: Editable?) {
                    if (questions.state is State.Answered) show(questions.state)
                }
            },
        )
    }

    private companion object {
        const val CHOSEN = "chosen"
        const val NONE = -1
    }
}
