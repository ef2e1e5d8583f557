package pocket.bundle

import java.io.ByteArrayInputStream
import java.io.File
import java.io.FileNotFoundException
import java.io.IOException
import java.io.InputStream
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertThrows
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder

class ShippedBundleTest {
    @get:Rule
    val scratch = TemporaryFolder()

    private val suite = readJson(File(System.getProperty("pocket.golden") ?: "../../golden", "bundles.json").readBytes())

    /** What an app ships, counting how often its files are opened, and maybe full after some. */
    private inner class Assets(case: String?, private val room: Int = Int.MAX_VALUE) : Folder {
        private val content = HashMap<String, String>()
        var opened = 0

        init {
            if (case != null) {
                val given = suite["cases"]!!.items!!.first { it["id"]?.text == case }
                val files = suite["files"]!!.members!! + given["files"]!!.members!!
                for ((name, text) in files) text.text?.let { content[name] = it }
                given["manifest"]?.text?.let { content["manifest.json"] = it }
            }
        }

        override fun files(): Set<String> = content.keys

        override fun open(name: String): InputStream {
            val text = content[name] ?: throw FileNotFoundException(name)
            if (name != "manifest.json") opened += 1
            if (opened > room) throw IOException("no space left")
            return ByteArrayInputStream(text.toByteArray())
        }
    }

    private val copies get() = File(scratch.root, "models")

    private fun open(assets: Folder) = ShippedBundle(assets, copies).open(Task.Kind.QUESTION_ANSWERING)

    private fun refusal(case: String?): String? =
        assertThrows(BundleRefused::class.java) { open(Assets(case)) }.message

    @Test
    fun `it is copied once`() {
        val assets = Assets("good-question-answering")
        val (folder, bundle) = open(assets)
        assertEquals(bundle.seal, folder.name)
        assertEquals("weights", File(folder, "package/weights.bin").readText())
        val copied = assets.opened
        assertEquals(folder, open(assets).first)
        assertEquals(copied, assets.opened)
    }

    @Test
    fun `an altered copy is made anew`() {
        val (folder, _) = open(Assets("good-question-answering"))
        File(folder, "vocab.txt").appendText("altered")
        File(folder, "more").writeText("")
        val (again, bundle) = open(Assets("good-question-answering"))
        assertEquals(folder, again)
        assertFalse(File(again, "more").exists())
        assertEquals("[PAD]\n[UNK]\n", bundle.folder.open("vocab.txt").use { String(it.readBytes()) })
    }

    @Test
    fun `another model takes its place, and a copy that was cut short is none`() {
        assertThrows(IOException::class.java) { open(Assets("good-question-answering", room = 3)) }
        assertEquals(listOf("part"), copies.list()!!.toList())
        File(copies, "0".repeat(64)).mkdir()
        val (folder, _) = open(Assets("good-question-answering"))
        assertEquals(listOf(folder.name), copies.list()!!.toList())
    }

    @Test
    fun `what was shipped is refused in the contract's words, each time`() {
        repeat(2) {
            assertEquals("it has no manifest.json, so it is not a bundle", refusal(null))
            assertEquals(
                "its task is \"regression\", and \"question-answering\" is wanted",
                refusal("good-regression"),
            )
            assertEquals(null, copies.list()?.firstOrNull { it != "part" })
        }
    }
}
