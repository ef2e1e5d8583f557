package pocket.engine

import android.content.Context
import android.content.res.AssetManager
import java.io.File
import java.io.FileNotFoundException
import java.io.IOException
import pocket.bundle.BundleRefused
import pocket.bundle.Directory
import pocket.bundle.MalformedJson
import pocket.bundle.ModelBundle
import pocket.bundle.Task
import pocket.bundle.readJson

/** The bundle that the app was built with, in the assets' folder `model`, and its copy among the app's files. */
class ShippedBundle(context: Context) {
    private val assets = context.assets
    private val copies = File(context.noBackupFilesDir, "models")

    /**
     * The copy's folder, and the bundle that was read from it after all of its hashes were compared.
     *
     * Runtimes want paths, which assets have none of, so that they are copied once; a copy is known by its seal,
     * and made anew where it no longer is what was sealed.
     *
     * @throws BundleRefused in the sentence that every platform says
     * @throws IOException where there is no room for the copy
     */
    fun open(): Pair<File, ModelBundle> {
        val folder = File(copies, seal())
        if (folder.isDirectory) {
            try {
                return folder to read(folder)
            } catch (_: BundleRefused) {
                folder.deleteRecursively()
            }
        }
        copies.deleteRecursively()
        val part = File(copies, "part")
        copy(ASSETS, part)
        // read before it is kept: what is refused must be refused again at the next start
        read(part)
        if (!part.renameTo(folder)) throw IOException("$part cannot be renamed")
        return folder to read(folder)
    }

    private fun read(folder: File): ModelBundle = ModelBundle.read(Directory(folder), Task.Kind.QUESTION_ANSWERING)

    /** Only names the copy; what it says is compared when the copy is read. */
    private fun seal(): String {
        val manifest =
            try {
                assets.open("$ASSETS/manifest.json").use { it.readBytes() }
            } catch (_: FileNotFoundException) {
                throw BundleRefused("it has no manifest.json, so it is not a bundle")
            }
        val seal =
            try {
                readJson(manifest)["seal"]?.text
            } catch (_: MalformedJson) {
                null
            }
        return seal?.takeIf { SEAL.matches(it) } ?: "unsealed"
    }

    /** [AssetManager] tells folders from files by what is in them: it has no empty ones. */
    private fun copy(asset: String, to: File) {
        val names = assets.list(asset).orEmpty()
        if (names.isEmpty()) {
            assets.open(asset).use { from -> to.outputStream().use { from.copyTo(it) } }
        } else {
            to.mkdirs()
            names.forEach { copy("$asset/$it", File(to, it)) }
        }
    }

    private companion object {
        const val ASSETS = "model"
        val SEAL = Regex("[0-9a-f]{64}")
    }
}
