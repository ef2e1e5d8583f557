// What :engine uses of com.google.ai.edge.litert:litert 2.3.0, with the signatures of litert/kotlin in LiteRT's
// repository. No code: it is only compiled against, where the library cannot be had.
package com.google.ai.edge.litert

enum class Accelerator(val value: Int) { NONE(0), CPU(1), GPU(2), NPU(3) }

enum class Status(val code: Int)

class LiteRtException(@Suppress("UNUSED_PARAMETER") status: Status, message: String) : Exception(message)

abstract class JniHandle internal constructor() : AutoCloseable {
    final override fun close(): Unit = error("declared only")
}

class Environment private constructor() : JniHandle()

class TensorBuffer internal constructor() : JniHandle() {
    @Throws(LiteRtException::class)
    fun writeInt(data: IntArray): Unit = error("$data")

    @Throws(LiteRtException::class)
    fun readFloat(): FloatArray = error("declared only")
}

class CompiledModel private constructor() : JniHandle() {
    data class CpuOptions(
        val numThreads: Int? = null,
        val xnnPackFlags: Int? = null,
        val xnnPackWeightCachePath: String? = null,
    )

    class Options(internal vararg val accelerators: Accelerator) {
        var cpuOptions: CpuOptions? = null

        companion object {
            @JvmStatic val CPU = Options(Accelerator.CPU)
        }
    }

    @Throws(LiteRtException::class)
    fun createInputBuffer(inputName: String, signature: String? = null): TensorBuffer = error("$inputName$signature")

    @Throws(LiteRtException::class)
    fun createOutputBuffer(outputName: String, signature: String? = null): TensorBuffer = error("$outputName$signature")

    @Throws(LiteRtException::class)
    fun run(
        inputs: Map<String, TensorBuffer>,
        outputs: Map<String, TensorBuffer>,
        signature: String? = null,
    ): Unit = error("$inputs$outputs$signature")

    companion object {
        @Throws(LiteRtException::class)
        @JvmOverloads
        @JvmStatic
        fun create(
            filePath: String,
            options: Options = Options.CPU,
            optionalEnv: Environment? = null,
        ): CompiledModel = error("$filePath$options$optionalEnv")
    }
}
