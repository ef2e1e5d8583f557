package pocket.bundle

import java.io.File
import java.io.InputStream
import java.nio.file.Files

/**
 * Where a bundle's files are: a directory, or the assets of an app, which are none.
 *
 * Names are relative to the bundle, with slashes.
 */
interface Folder {
    /** All files, however deep. */
    fun files(): Set<String>

    /** Symbolic links, which a bundle must not have; assets have none. */
    fun links(): Set<String> = emptySet()

    fun open(name: String): InputStream
}

/** A directory of the file system. */
class Directory(private val root: File) : Folder {
    private val links = sortedSetOf(ByCodePoint)
    private val files = sortedSetOf(ByCodePoint)

    init {
        list(root, "")
    }

    override fun files(): Set<String> = files

    override fun links(): Set<String> = links

    override fun open(name: String): InputStream = File(root, name).inputStream()

    private fun list(folder: File, prefix: String) {
        for (file in folder.listFiles().orEmpty()) {
            val name = prefix + file.name
            when {
                Files.isSymbolicLink(file.toPath()) -> links += name
                file.isDirectory -> list(file, "$name/")
                file.isFile -> files += name
            }
        }
    }
}
