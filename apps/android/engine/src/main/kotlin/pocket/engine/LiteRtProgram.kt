package pocket.engine

import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel
import com.google.ai.edge.litert.LiteRtException
import com.google.ai.edge.litert.TensorBuffer
import java.io.File
import pocket.ask.PaddedWindow
import pocket.ask.Program
import pocket.ask.ProgramFailed
import pocket.text.SpanLogits

/** A `.tflite` in LiteRT, on the CPU with XNNPACK: a signature `seq_N` for each length. */
internal class LiteRtProgram(file: File, threads: Int) : Program {
    override val runtime = "LiteRT $LITERT_VERSION"

    /** LiteRT does not say what its delegate took. */
    override val delegate: String? = null

    private val model: CompiledModel
    private val signatures = HashMap<Int, Signature>()

    init {
        val options = CompiledModel.Options(Accelerator.CPU)
        options.cpuOptions =
            CompiledModel.CpuOptions(numThreads = threads, xnnPackWeightCachePath = PACKED_ONCE_FOR_ALL_SIGNATURES)
        model = inItsWords { CompiledModel.create(file.path, options) }
    }

    override fun run(window: PaddedWindow): SpanLogits =
        inItsWords { signatures.getOrPut(window.length) { Signature("seq_${window.length}") }.run(window) }

    override fun close() {
        signatures.values.forEach { it.close() }
        model.close()
    }

    private inner class Signature(private val name: String) : AutoCloseable {
        private val inputs = listOf("input_ids", "attention_mask").associateWith { model.createInputBuffer(it, name) }
        private val outputs = listOf("start_logits", "end_logits").associateWith { model.createOutputBuffer(it, name) }

        fun run(window: PaddedWindow): SpanLogits {
            inputs.getValue("input_ids").writeInt(window.ids)
            inputs.getValue("attention_mask").writeInt(window.mask)
            model.run(inputs, outputs, name)
            return SpanLogits(outputs.getValue("start_logits").readFloat(), outputs.getValue("end_logits").readFloat())
        }

        override fun close() = (inputs.values + outputs.values).forEach(TensorBuffer::close)
    }

    private companion object {
        const val PACKED_ONCE_FOR_ALL_SIGNATURES = ":memory"

        fun <Value> inItsWords(call: () -> Value): Value =
            try {
                call()
            } catch (failed: LiteRtException) {
                throw ProgramFailed("LiteRT gave up: ${failed.message}", failed)
            }
    }
}
