package pocket.bundle

import java.io.File
import java.io.IOException

/**
 * The bundle that an app was built with, and its copy among the app's files.
 *
 * Runtimes map files into memory, for which an app's assets have no paths; so they are copied, once for each seal.
 *
 * @param shipped the bundle in the assets
 * @param copies a folder of the app's own, where nothing else is
 */
class ShippedBundle(private val shipped: Folder, private val copies: File) {
    /**
     * The copy's folder, and the bundle that was read from it after all of its hashes were compared.
     *
     * A copy that no longer is what was sealed is made anew; those of other bundles are removed. One at a time in a
     * process: two that copy would remove each other's.
     *
     * @throws BundleRefused in the sentence that every platform says
     * @throws IOException where there is no room for the copy
     */
    fun open(wanted: Task.Kind): Pair<File, ModelBundle> = synchronized(ShippedBundle) { opened(wanted) }

    private fun opened(wanted: Task.Kind): Pair<File, ModelBundle> {
        val folder = File(copies, name())
        if (folder.isDirectory) {
            try {
                return folder to ModelBundle.read(Directory(folder), wanted)
            } catch (_: BundleRefused) {
                // below it is copied again, and refused again where the fault is in what was shipped
            }
        }
        copies.deleteRecursively()
        val part = File(copies, "part")
        for (name in shipped.files()) {
            val to = File(part, name).apply { parentFile.mkdirs() }
            shipped.open(name).use { from -> to.outputStream().use { from.copyTo(it) } }
        }
        // before it has its name, so that only what was read once is there at the next start
        ModelBundle.read(Directory(part), wanted)
        if (!part.renameTo(folder)) throw IOException("$part cannot be renamed")
        return folder to ModelBundle.read(Directory(folder), wanted)
    }

    /** The seal as it is written; whether it fits is found out when the copy is read. */
    private fun name(): String {
        val seal =
            try {
                readJson(shipped.open("manifest.json").use { it.readBytes() })["seal"]?.text
            } catch (_: IOException) {
                null
            } catch (_: MalformedJson) {
                null
            }
        return seal?.takeIf { SEAL.matches(it) } ?: "unsealed"
    }

    private companion object {
        val SEAL = Regex("[0-9a-f]{64}")
    }
}
