package pocket.engine

import java.io.File
import org.pytorch.executorch.EValue
import org.pytorch.executorch.Module
import org.pytorch.executorch.Tensor
import pocket.ask.PaddedWindow
import pocket.ask.Program
import pocket.ask.ProgramFailed
import pocket.text.SpanLogits

/** A `.pte` in ExecuTorch: one method that takes every length of a range, its outputs in the manifest's order. */
internal class ExecuTorchProgram(file: File, threads: Int) : Program {
    override val runtime = "ExecuTorch $EXECUTORCH_VERSION"

    private val module: Module =
        inItsWords { Module.load(file.path, Module.LOAD_MODE_MMAP, threads).also { it.loadMethod(METHOD) } }

    override val delegate: String? =
        if ("XnnpackBackend" in module.getMethodMetadata(METHOD).backends) "xnnpack" else "none"

    override fun run(window: PaddedWindow): SpanLogits {
        val shape = longArrayOf(1, window.length.toLong())
        val outputs =
            inItsWords {
                module.forward(
                    EValue.from(Tensor.fromBlob(window.ids, shape)),
                    EValue.from(Tensor.fromBlob(window.mask, shape)),
                )
            }
        val (start, end) = outputs.map { it.toTensor().dataAsFloatArray }
        return SpanLogits(start, end)
    }

    override fun close() = module.destroy()

    private companion object {
        const val METHOD = "forward"

        fun <Value> inItsWords(call: () -> Value): Value =
            try {
                call()
            } catch (failed: RuntimeException) {
                // its own exceptions have no other class in common
                throw ProgramFailed("ExecuTorch gave up: ${failed.message}", failed)
            }
    }
}
