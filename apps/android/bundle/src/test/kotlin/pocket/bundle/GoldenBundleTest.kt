package pocket.bundle

import java.io.File
import java.nio.file.Files
import java.nio.file.Paths
import java.util.Base64
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder

/** Every folder of apps/golden/bundles.json: read as Python read it, or refused in the same words. */
class GoldenBundleTest {
    @get:Rule
    val scratch = TemporaryFolder()

    @Test
    fun `every folder is read or refused as in Python`() {
        val golden = File(System.getProperty("pocket.golden") ?: "../../golden")
        val suite = readJson(File(golden, "bundles.json").readBytes())
        val cases = suite["cases"]!!.items!!
        val mismatches = ArrayList<String>()
        for (given in cases) {
            val folder = scratch.newFolder()
            make(given, suite, folder)
            val said = outcome(given, folder)
            val wanted = expected(given)
            if (said != wanted) mismatches += "${given["id"]?.text}: $said, not $wanted"
        }
        println("bundles: ${cases.size} compared, ${mismatches.size} mismatches")
        assertTrue(cases.size > 200)
        assertEquals(emptyList<String>(), mismatches.take(5))
    }

    private fun make(given: Json, suite: Json, folder: File) {
        val files = suite["files"]!!.members!! + given["files"]!!.members!!
        for ((name, content) in files) {
            val text = content.text ?: continue
            File(folder, name).apply { parentFile.mkdirs() }.writeText(text)
        }
        for ((name, target) in given["links"]!!.members!!) {
            Files.createSymbolicLink(File(folder, name).toPath(), Paths.get(target.text!!))
        }
        val manifest =
            given["manifest"]?.text?.toByteArray()
                ?: given["manifest_base64"]?.text?.let { Base64.getDecoder().decode(it) }
        manifest?.let { File(folder, "manifest.json").writeBytes(it) }
    }

    private fun outcome(given: Json, folder: File): String =
        try {
            val wanted = given["wanted"]?.text?.let { title -> Task.Kind.entries.first { it.title == title } }
            val bundle = ModelBundle.read(Directory(folder), wanted)
            described(bundle.name, bundle.target, bundle.program, bundle.seal, bundle.lengths, settings(bundle.task))
        } catch (refused: BundleRefused) {
            refused.message!!
        }

    private fun expected(given: Json): String {
        val reads = given["reads"] ?: return given["says"]!!.text!!
        val windows = reads["windows"]!!
        val keys = listOf("max_length", "stride", "n_best", "max_answer_length")
        val settings = keys.mapNotNull { windows[it]?.whole } + windows["labels"]?.items.orEmpty().map { it.text }
        val (name, target, program, seal) =
            listOf("name", "target", "program", "seal").map { reads[it]!!.text!! }
        return described(name, target, program, seal, reads["lengths"]!!.items!!.map { it.whole }, settings)
    }

    private fun settings(task: Task): List<Any> =
        when (task) {
            is QuestionAnswering -> listOf(task.maxLength, task.stride, task.nBest, task.maxAnswerLength)
            is TextClassification -> listOf(task.maxLength) + task.labels
            is TextRegression -> listOf(task.maxLength)
        }

    private fun described(vararg parts: Any): String = parts.joinToString("|")
}
