import Foundation

public enum MLComputeUnits { case cpuOnly, cpuAndGPU, all, cpuAndNeuralEngine }

public class MLModelConfiguration {
  public init() {}
  public var computeUnits: MLComputeUnits = .all
}

public protocol MLFeatureProvider {
  func featureValue(for name: String) -> MLFeatureValue?
}

public class MLMultiArray {}

public protocol MLShapedArrayScalar {}
extension Int32: MLShapedArrayScalar {}
extension Float: MLShapedArrayScalar {}

public struct MLShapedArray<Scalar: MLShapedArrayScalar>: @unchecked Sendable {
  public init<S: Sequence>(scalars: S, shape: [Int]) where S.Element == Scalar {}
  public init(converting multiArray: MLMultiArray) {}
  public var scalars: [Scalar] { [] }
}

public class MLFeatureValue {
  public init<Scalar>(shapedArray: MLShapedArray<Scalar>) {}
  public var multiArrayValue: MLMultiArray? { nil }
}

public class MLDictionaryFeatureProvider: MLFeatureProvider {
  public init(dictionary: [String: Any]) throws {}
  public func featureValue(for name: String) -> MLFeatureValue? { nil }
}

public class MLModel {
  public init(contentsOf url: URL, configuration: MLModelConfiguration) throws {}
  public class func compileModel(at url: URL) async throws -> URL { url }
  public func prediction(from input: any MLFeatureProvider) throws -> any MLFeatureProvider {
    input
  }
}

@available(iOS 17.4, macOS 14.4, *)
public class MLComputePlan {
  public class func load(contentsOf url: URL, configuration: MLModelConfiguration) async throws
    -> MLComputePlan
  { fatalError() }
  public var modelStructure: MLModelStructure { fatalError() }
  public func deviceUsage(for operation: MLModelStructure.Program.Operation) -> DeviceUsage? { nil }

  public struct DeviceUsage {
    public var preferred: MLComputeDevice { fatalError() }
  }
}

public enum MLModelStructure {
  case neuralNetwork(Program)
  case program(Program)
  case unsupported

  public struct Program {
    public var functions: [String: Function] { [:] }

    public struct Function {
      public var block: Block { fatalError() }
    }
    public struct Block {
      public var operations: [Operation] { [] }
    }
    public struct Operation {}
  }
}

public class MLCPUComputeDevice {}
public class MLGPUComputeDevice {}
public class MLNeuralEngineComputeDevice {}

public enum MLComputeDevice {
  case cpu(MLCPUComputeDevice)
  case gpu(MLGPUComputeDevice)
  case neuralEngine(MLNeuralEngineComputeDevice)
}
