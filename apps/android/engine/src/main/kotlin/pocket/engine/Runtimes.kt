package pocket.engine

import java.io.File
import pocket.ask.Program
import pocket.ask.ProgramFailed
import pocket.bundle.ModelBundle

/** The versions in gradle/libs.versions.toml, which the runtimes themselves do not tell. */
internal const val LITERT_VERSION = "2.3.0"
internal const val EXECUTORCH_VERSION = "1.5.1"

/** The runtimes that this app has, by the target that a manifest names. */
object Runtimes {
    private val loaders: Map<String, (File, Int) -> Program> =
        mapOf("tflite" to ::LiteRtProgram, "executorch" to ::ExecuTorchProgram)

    /**
     * Loads a checked bundle's program.
     *
     * @param folder where the bundle is: runtimes map files into memory, so they want paths
     * @throws ProgramFailed for another target, or in the runtime's own words
     */
    fun load(bundle: ModelBundle, folder: File, threads: Int): Program {
        val load =
            loaders[bundle.target]
                ?: throw ProgramFailed("${bundle.name} is for ${bundle.target}; this app runs ${loaders.keys.joinToString()}")
        return load(File(folder, bundle.program), threads)
    }
}
