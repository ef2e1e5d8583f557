#if canImport(CoreML)
  import CoreML
  import Foundation
  import PocketBundle
  import PocketText

  /// A Core ML package, compiled on the device.
  struct CoreMLProgram: Program {
    let runtime: String
    private let model: MLModel

    func logits(of input: ProgramInput) throws -> SpanLogits {
      let features = try MLDictionaryFeatureProvider(dictionary: [
        "input_ids": CoreMLProgram.feature(input.ids, input.shape),
        "attention_mask": CoreMLProgram.feature(input.mask, input.shape),
      ])
      let outputs = try model.prediction(from: features)
      return SpanLogits(
        start: try CoreMLProgram.floats("start_logits", of: outputs),
        end: try CoreMLProgram.floats("end_logits", of: outputs))
    }

    private static func feature(_ numbers: [Int32], _ shape: [Int]) -> MLFeatureValue {
      MLFeatureValue(shapedArray: MLShapedArray<Int32>(scalars: numbers, shape: shape))
    }

    /// An output by its name. Core ML may give it as float16 and with gaps between rows; both are seen to here.
    private static func floats(_ name: String, of outputs: any MLFeatureProvider) throws -> [Float]
    {
      guard let array = outputs.featureValue(for: name)?.multiArrayValue else {
        throw ProgramFailed("the model gives no \(name); make the bundle again")
      }
      return MLShapedArray<Float>(converting: array).scalars
    }
  }

  // MARK: - Loading

  extension CoreMLProgram {
    static func load(_ bundle: ModelBundle, units: ComputeUnits, cache: URL) async throws
      -> sending LoadedProgram
    {
      do {
        let compiled = try await compiled(bundle, cache: cache)
        let began = ContinuousClock.now
        let model = try MLModel(contentsOf: compiled, configuration: configuration(units))
        let took = ContinuousClock.now - began
        return LoadedProgram(
          program: CoreMLProgram(
            runtime: "Core ML of \(System.name)", model: model),
          loadNanoseconds: took.nanoseconds, delegate: "Core ML", delegateIsKnown: true,
          unitsGot: await unitsGot(compiled, units))
      } catch let failed as ProgramFailed {
        throw failed
      } catch {
        throw ProgramFailed("Core ML does not load the model: \(error.localizedDescription)")
      }
    }

    /// The compiled model of this very bundle: the seal covers every byte of the package.
    private static func compiled(_ bundle: ModelBundle, cache: URL) async throws -> URL {
      let place = cache.appendingPathComponent("\(bundle.seal).mlmodelc")
      if !FileManager.default.fileExists(atPath: place.path) {
        let made = try await MLModel.compileModel(at: bundle.program)
        try FileManager.default.createDirectory(at: cache, withIntermediateDirectories: true)
        try FileManager.default.moveItem(at: made, to: place)
      }
      return place
    }

    private static func configuration(_ units: ComputeUnits) -> MLModelConfiguration {
      let configuration = MLModelConfiguration()
      configuration.computeUnits =
        switch units {
        case .cpuOnly: .cpuOnly
        case .cpuAndNeuralEngine: .cpuAndNeuralEngine
        case .all: .all
        }
      return configuration
    }

    /// What was asked for, unless the Neural Engine was and nothing is planned for it; nil where that is not told.
    private static func unitsGot(_ compiled: URL, _ units: ComputeUnits) async -> String? {
      guard #available(iOS 17.4, macOS 14.4, *) else { return nil }
      guard units == .cpuAndNeuralEngine else { return units.rawValue }
      let plan = try? await MLComputePlan.load(
        contentsOf: compiled, configuration: configuration(units))
      guard let plan, case .program(let program) = plan.modelStructure,
        let operations = program.functions["main"]?.block.operations
      else { return nil }
      let isPlanned = operations.contains { operation in
        if case .neuralEngine? = plan.deviceUsage(for: operation)?.preferred { return true }
        return false
      }
      return isPlanned ? units.rawValue : ComputeUnits.cpuOnly.rawValue
    }
  }
#endif
