import Foundation
import PocketBundle
import PocketText

/// A bundle's program, loaded into the runtime that it is for.
public protocol Program {
  /// The runtime and its version, as measurements name it: "Core ML of iOS 17.4".
  var runtime: String { get }

  /// Runs one window.
  ///
  /// - Returns: the logits of all tokens of the input, those of padding included.
  func logits(of input: ProgramInput) throws -> SpanLogits
}

/// One window as the program takes it: padded to a length that it was made for.
public struct ProgramInput: Equatable, Sendable {
  public let ids: [Int32]
  /// 1 for tokens, 0 for padding.
  public let mask: [Int32]

  public var shape: [Int] { [1, ids.count] }

  /// - Throws: `ProgramFailed` for more tokens than the bundle's program takes.
  public init(_ ids: [Int32], for bundle: ModelBundle) throws {
    guard let length = bundle.length(for: ids.count) else {
      throw ProgramFailed(
        "the model takes at most \(bundle.lengths.last ?? 0) tokens, not \(ids.count)")
    }
    let padding = [Int32](repeating: 0, count: length - ids.count)
    self.ids = ids + padding
    mask = [Int32](repeating: 1, count: ids.count) + padding
  }
}

/// Why a program cannot be loaded or run, in a sentence.
public struct ProgramFailed: Error, Equatable, LocalizedError, CustomStringConvertible {
  public let description: String
  public var errorDescription: String? { description }

  public init(_ sentence: String) {
    description = sentence
  }
}

/// Where Core ML may compute. The names are those of the benchmark mode's `--units`.
public enum ComputeUnits: String, CaseIterable, Sendable {
  case cpuOnly = "cpu-only"
  case cpuAndNeuralEngine = "cpu-and-ne"
  case all
}

/// A program with what its loading told.
public struct LoadedProgram {
  public let program: any Program
  /// From the call that loads the program until it can be run; compiling a Core ML package comes before that.
  public let loadNanoseconds: UInt64
  /// What does the computing, and whether the runtime says so.
  public let delegate: String
  public let delegateIsKnown: Bool
  /// The compute units that were used; nil where the runtime does not tell.
  public let unitsGot: String?

  public init(
    program: any Program, loadNanoseconds: UInt64, delegate: String, delegateIsKnown: Bool,
    unitsGot: String?
  ) {
    self.program = program
    self.loadNanoseconds = loadNanoseconds
    self.delegate = delegate
    self.delegateIsKnown = delegateIsKnown
    self.unitsGot = unitsGot
  }
}

/// Loads a checked bundle's program with the runtime that it is for.
///
/// - Parameter cache: a folder that compiled Core ML models are kept in, by their bundle's seal.
/// - Throws: `ProgramFailed` where this app has no such runtime, or the runtime refuses the program.
public func load(_ bundle: ModelBundle, units: ComputeUnits, cache: URL) async throws
  -> sending LoadedProgram
{
  #if canImport(CoreML)
    if bundle.target == "coreml" {
      return try await CoreMLProgram.load(bundle, units: units, cache: cache)
    }
  #endif
  #if canImport(ExecuTorch)
    if bundle.target.hasPrefix("executorch") {
      return try ExecuTorchProgram.load(bundle)
    }
  #endif
  throw ProgramFailed("\(bundle.name) is for \(bundle.target); this app runs coreml")
}
