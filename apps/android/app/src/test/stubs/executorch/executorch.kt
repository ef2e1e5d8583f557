// What :engine uses of org.pytorch:executorch-android 1.5.1, with the signatures of extension/android in
// ExecuTorch's repository. No code: it is only compiled against, where the library cannot be had.
package org.pytorch.executorch

import java.io.Closeable

class MethodMetadata internal constructor(val name: String, val backends: Array<String>)

abstract class Tensor internal constructor() {
    open val dataAsFloatArray: FloatArray get() = error("declared only")

    companion object {
        @JvmStatic fun fromBlob(data: IntArray, shape: LongArray): Tensor = error("$data$shape")

        @JvmStatic fun fromBlob(data: FloatArray, shape: LongArray): Tensor = error("$data$shape")

        @JvmStatic fun fromBlob(data: LongArray, shape: LongArray): Tensor = error("$data$shape")
    }
}

class EValue private constructor() {
    fun toTensor(): Tensor = error("declared only")

    companion object {
        @JvmStatic fun from(tensor: Tensor): EValue = error("$tensor")
    }
}

open class Module private constructor() : Closeable {
    open fun forward(vararg inputs: EValue): Array<EValue> = error("$inputs")

    open fun loadMethod(methodName: String): Unit = error(methodName)

    open fun getMethodMetadata(name: String): MethodMetadata = error(name)

    open fun destroy(): Unit = error("declared only")

    override fun close() = destroy()

    companion object {
        const val LOAD_MODE_FILE = 0
        const val LOAD_MODE_MMAP = 1

        @JvmStatic
        @JvmOverloads
        fun load(modelPath: String?, loadMode: Int = LOAD_MODE_FILE, numThreads: Int = 0): Module =
            error("$modelPath$loadMode$numThreads")
    }
}
