package org.pocketdistil.app

import android.app.Activity
import android.content.Intent
import android.os.Bundle
import android.util.Log
import android.view.View
import android.view.WindowManager
import android.widget.Button
import android.widget.ProgressBar
import android.widget.TextView
import java.io.File
import java.io.IOException
import pocket.ask.ProgramFailed
import pocket.bench.BenchmarkRefused
import pocket.bench.Contender
import pocket.bench.Plan
import pocket.bench.Queries
import pocket.bench.Request
import pocket.bench.Timed
import pocket.bench.benchmark
import pocket.bench.measurement
import pocket.bench.percentile
import pocket.bench.writeWhole
import pocket.bundle.BundleRefused
import pocket.bundle.Task
import pocket.engine.Runtimes

/**
 * Measures the shipped bundle when asked on the screen, or what device_bench asks for through `adb shell am start`.
 *
 * apps/README.md, "Benchmark mode", is the contract: extras with paths among the app's external files, and one of
 * two files as the end.
 */
class BenchmarkActivity : Activity() {
    @Volatile private var isLeft = false

    @Volatile private var isCancelled = false

    /** What to measure, and the file for it. */
    private class Job(val request: Request, val result: File)

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.benchmark)
        window.addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON)
        view<Button>(R.id.start).setOnClickListener {
            start(failure = null, ::ofTheShipped)
        }
        view<Button>(R.id.share).setOnClickListener { share() }
        // nobody waits any longer for what a process that was killed had been asked
        if (savedInstanceState == null && intent.hasExtra("bundle")) startAsAsked()
    }

    override fun onStop() {
        isLeft = true
        super.onStop()
    }

    override fun onDestroy() {
        isCancelled = true
        super.onDestroy()
    }

    private fun startAsAsked() {
        val root = getExternalFilesDir(null)
        if (root == null) {
            show(getString(R.string.no_storage))
            return
        }
        val failure = intent.getStringExtra("failure")
        try {
            start(failure?.let { Request.inside(root, it) }) { asked(root) }
        } catch (refused: BenchmarkRefused) {
            show(refused.message.orEmpty())
        }
    }

    private fun asked(root: File): Job {
        val result = intent.getStringExtra("result") ?: throw BenchmarkRefused("a benchmark wants the extra result")
        val plan =
            Plan(
                warmup = intent.getIntExtra("warmup", Plan.STANDARD.warmup),
                runs = intent.getIntExtra("runs", Plan.STANDARD.runs),
                seconds = intent.getFloatExtra("seconds", Plan.STANDARD.seconds.toFloat()).toDouble(),
            )
        val request =
            Request.of(
                root,
                bundle = intent.getStringExtra("bundle"),
                baselines = intent.getStringExtra("baselines"),
                queries = intent.getStringExtra("queries"),
                source = intent.getStringExtra("source"),
                threads = intent.getIntExtra("threads", 1),
                plan = plan,
            )
        return Job(request, Request.inside(root, result))
    }

    private fun ofTheShipped(): Job {
        val (folder, bundle) = shippedBundle(this).open(Task.Kind.QUESTION_ANSWERING)
        val length = bundle.lengthFor(TOKENS) ?: bundle.lengths.last()
        val candidate = Contender("candidate", folder, bundle)
        val request = Request(listOf(candidate), Queries.fixed(length), threads = 1, Plan.STANDARD)
        return Job(request, File(filesDir, MeasurementProvider.NAME))
    }

    /** @param failure the file for one sentence, where there is no measurement; null where somebody is looking */
    private fun start(failure: File?, job: () -> Job) {
        isLeft = false
        view<Button>(R.id.start).isEnabled = false
        view<Button>(R.id.share).visibility = View.GONE
        show(getString(R.string.loading))
        view<ProgressBar>(R.id.progress).visibility = View.VISIBLE
        Thread({ run(failure, job) }, "benchmark").start()
    }

    private fun run(failure: File?, job: () -> Job) {
        val why =
            try {
                val asked = job()
                val timed = measure(asked.request, asked.result)
                runOnUiThread { showFigures(timed.first(), canShare = failure == null) }
                return
            } catch (refused: BenchmarkRefused) {
                refused.message
            } catch (refused: BundleRefused) {
                refused.message
            } catch (failed: ProgramFailed) {
                failed.message
            } catch (failed: IOException) {
                "the measurement cannot be written: ${failed.message}"
            } catch (_: InterruptedException) {
                "the app was closed before it was done"
            } catch (_: OutOfMemoryError) {
                "the programs do not fit into this phone's memory together"
            }
        try {
            failure?.let { writeWhole(it, "$why\n") }
        } catch (failed: IOException) {
            Log.e(TAG, "no sentence could be left for: $why", failed)
        }
        runOnUiThread { showEnd(why.orEmpty()) }
    }

    private fun measure(request: Request, result: File): List<Timed> {
        val device = Device(this)
        val before = device.state()
        var shown = -1
        val timed =
            benchmark(request, load = { Runtimes.load(it.bundle, it.folder, request.threads) }) { share ->
                if (isCancelled) throw InterruptedException()
                val percent = (share * 100).toInt()
                if (percent > shown) runOnUiThread { showPercent(percent) }
                shown = percent
            }
        val reasons = if (isLeft) listOf("the app did not stay in the foreground") else emptyList()
        val made = mapOf("time" to device.time(), "command" to packageName)
        val json =
            measurement(device.place(), before, device.state(), request, timed, device.peakResidentBytes(), reasons, made)
        writeWhole(result, json.indented())
        return timed
    }

    private fun showPercent(percent: Int) {
        view<ProgressBar>(R.id.progress).progress = percent
        show(getString(R.string.measuring))
    }

    private fun showFigures(timed: Timed, canShare: Boolean) {
        val samples = timed.runs.map { it.nanoseconds }
        val milliseconds = listOf(0.5, 0.9, 0.99).map { percentile(samples, it) / 1e6 }
        showEnd(
            getString(
                R.string.figures,
                timed.contender.bundle.name,
                timed.runtime,
                timed.runs.first().length,
                samples.size,
                milliseconds[0],
                milliseconds[1],
                milliseconds[2],
                timed.first / 1e6,
                timed.load / 1e6,
            ),
        )
        view<Button>(R.id.share).visibility = if (canShare) View.VISIBLE else View.GONE
    }

    private fun show(text: String) {
        val figures: TextView = view(R.id.figures)
        // a live region speaks whatever is set, be it the same
        if (figures.text.toString() != text) figures.text = text
    }

    private fun showEnd(text: String) {
        show(text)
        view<ProgressBar>(R.id.progress).visibility = View.GONE
        view<Button>(R.id.start).isEnabled = true
    }

    private fun share() {
        val send = Intent(Intent.ACTION_SEND).setType("application/json")
        send.putExtra(Intent.EXTRA_STREAM, MeasurementProvider.URI)
        send.addFlags(Intent.FLAG_GRANT_READ_URI_PERMISSION)
        startActivity(Intent.createChooser(send, getString(R.string.share)))
    }

    private companion object {
        const val TAG = "Pocket"
        const val TOKENS = 128
    }
}
