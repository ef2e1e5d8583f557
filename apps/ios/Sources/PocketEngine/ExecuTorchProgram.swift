#if canImport(ExecuTorch)
  import ExecuTorch
  import Foundation
  import PocketBundle
  import PocketText

  /// A .pte file. Compiled only where ExecuTorch's Swift package is linked, with the backend that the bundle's
  /// target names: `executorch` needs XNNPACK, `executorch-coreml` Core ML.
  struct ExecuTorchProgram: Program {
    let runtime = "ExecuTorch"
    private let module: Module

    static func load(_ bundle: ModelBundle) throws -> sending LoadedProgram {
      let began = ContinuousClock.now
      let module = Module(filePath: bundle.program.path)
      try module.load("forward")
      let took = ContinuousClock.now - began
      return LoadedProgram(
        program: ExecuTorchProgram(module: module), loadNanoseconds: took.nanoseconds,
        delegate: bundle.target == "executorch" ? "xnnpack" : "Core ML", delegateIsKnown: false,
        unitsGot: nil)
    }

    func logits(of input: ProgramInput) throws -> SpanLogits {
      let outputs = try module.forward([
        Tensor<Int32>(input.ids, shape: input.shape), Tensor<Int32>(input.mask, shape: input.shape),
      ])
      let logits = outputs.compactMap { output -> [Float]? in
        let tensor: Tensor<Float>? = output.tensor()
        return tensor?.scalars()
      }
      guard logits.count == 2 else {
        throw ProgramFailed("the model gives no logits of start and end; make the bundle again")
      }
      return SpanLogits(start: logits[0], end: logits[1])
    }
  }
#endif
