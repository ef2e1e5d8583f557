import Foundation
import PocketBundle
import PocketText

/// An answer, and what it took.
public struct Reply: Sendable {
  public let answer: Answer
  /// How many windows the passage needed.
  public let windows: Int
  /// In the program, all windows together.
  public let inference: Duration
  /// From the question to the answer: tokenizing, inference and decoding.
  public let total: Duration
}

/// Answers questions with one bundle's program, one question at a time and off the main thread.
public actor QuestionAnswerer {
  public nonisolated let bundle: ModelBundle
  private let task: QuestionAnswering
  private let tokenizer: Tokenizer
  private let program: any Program

  /// - Parameter bundle: a checked one.
  /// - Throws: `TokenizerRefused`, or `ProgramFailed` for a bundle of another task.
  public init(bundle: ModelBundle, program: sending any Program) throws {
    guard case .questionAnswering(let task) = bundle.task else {
      throw ProgramFailed("the bundle's task is not question answering")
    }
    self.bundle = bundle
    self.task = task
    self.program = program
    tokenizer = try Tokenizer(contentsOf: bundle.url(of: "tokenizer.json"))
  }

  /// Checks a bundle and loads its program.
  ///
  /// - Parameters:
  ///   - cache: where compiled models are kept; those of other bundles are removed from it.
  ///   - unverified: whether a bundle that was never seen to run may be tried.
  /// - Throws: `BundleRefused`, `UnverifiedBundle`, `TokenizerRefused` or `ProgramFailed`.
  public static func open(
    _ folder: URL, units: ComputeUnits = .all, cache: URL, unverified: Bool = false
  ) async throws -> QuestionAnswerer {
    let bundle = try ModelBundle(folder: folder, wanted: .questionAnswering)
    guard bundle.isVerified || unverified else {
      throw UnverifiedBundle(why: bundle.whyNotVerified ?? "it does not say why")
    }
    keep(bundle.seal, in: cache)
    let loaded = try await load(bundle, units: units, cache: cache)
    return try QuestionAnswerer(bundle: bundle, program: loaded.program)
  }

  /// Answers one question. Stops between windows when its task is cancelled.
  ///
  /// - Throws: `TextRefused` for what cannot be asked, `CancellationError`, or what the runtime throws.
  public func ask(_ question: String, about passage: String) throws -> Reply {
    let clock = ContinuousClock()
    let began = clock.now
    let windows = try tokenizer.windows(question: question, passage: passage, task: task)
    let inputs = try windows.map { try ProgramInput($0.ids, for: bundle) }
    let tokenized = clock.now
    let logits = try inputs.map { input in
      try Task.checkCancellation()
      return try program.logits(of: input)
    }
    let inference = clock.now - tokenized
    let found = try answers(in: passage, windows: windows, logits: logits, task: task)
    return Reply(
      answer: found[0], windows: windows.count, inference: inference, total: clock.now - began)
  }

  private static func keep(_ seal: String, in cache: URL) {
    let files = try? FileManager.default.contentsOfDirectory(
      at: cache, includingPropertiesForKeys: nil)
    for file in files ?? [] where !file.lastPathComponent.hasPrefix(seal) {
      try? FileManager.default.removeItem(at: file)
    }
  }
}

/// A bundle whose program was made and never seen to run; it may be tried, if the user wants to.
public struct UnverifiedBundle: Error, LocalizedError, CustomStringConvertible {
  public let why: String
  public var description: String { "it was never verified: \(why)" }
  public var errorDescription: String? { description }
}

extension Duration {
  /// In whole nanoseconds, at least one: a measurement knows no empty times.
  public var nanoseconds: UInt64 {
    let (seconds, attoseconds) = components
    return max(1, UInt64(seconds) * 1_000_000_000 + UInt64(attoseconds / 1_000_000_000))
  }

  public var milliseconds: Double {
    Double(nanoseconds) / 1e6
  }
}
