package pocket.engine

import android.content.res.AssetManager
import java.io.InputStream
import pocket.bundle.Folder

/** A folder of an app's assets. */
class AssetFolder(private val assets: AssetManager, private val root: String) : Folder {
    override fun files(): Set<String> = below("").toSet()

    override fun open(name: String): InputStream = assets.open("$root/$name")

    /** Files are told from folders by having nothing in them: assets have no empty folders. */
    private fun below(prefix: String): List<String> =
        assets.list("$root/$prefix".trimEnd('/')).orEmpty().flatMap { name ->
            below("$prefix$name/").ifEmpty { listOf("$prefix$name") }
        }
}
