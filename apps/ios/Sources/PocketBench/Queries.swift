import Foundation
import PocketBundle
import PocketText

/// The windows that are asked; run i asks `windows[i % count]`.
public struct Queries: Sendable, Equatable {
  /// What a measurement says of them: "fixed:128", "squad".
  public let source: String
  public let windows: [[Int32]]

  public init(source: String, windows: [[Int32]]) {
    self.source = source
    self.windows = windows
  }

  /// Reads a window of token ids a line, spaces between them.
  ///
  /// - Throws: `BenchFailed` for anything else.
  init(contentsOf file: URL, source: String) throws {
    guard let text = try? String(contentsOf: file, encoding: .utf8) else {
      throw BenchFailed("the queries \(file.lastPathComponent) cannot be read")
    }
    windows = try text.split(separator: "\n").map { line in
      let words = line.split(separator: " ")
      let ids = words.compactMap { Int32($0) }
      guard !ids.isEmpty, ids.count == words.count else {
        throw BenchFailed("the queries hold a line that is no list of token ids")
      }
      return ids
    }
    guard !windows.isEmpty else { throw BenchFailed("the queries are empty") }
    self.source = source
  }

  /// A window of one length, of ordinary tokens: what they say does not matter to time.
  ///
  /// - Throws: `BenchFailed` for a bundle without a vocabulary.
  public static func fixed(_ length: Int, for bundle: ModelBundle) throws -> Queries {
    let text = try? String(contentsOf: bundle.url(of: "vocab.txt"), encoding: .utf8)
    guard let text, case let count = Vocabulary.read(text).count, count > 1 else {
      throw BenchFailed("the bundle has no vocab.txt; make it again")
    }
    // the upper half: special and unused tokens come first
    let ids = (0..<length).map { Int32(count / 2 + $0 % (count / 2)) }
    return Queries(source: "fixed:\(length)", windows: [ids])
  }

  var areVaried: Bool { Set(windows.map(\.count)).count > 1 }
}

/// Why nothing was measured, in a sentence.
public struct BenchFailed: Error, Equatable, LocalizedError, CustomStringConvertible {
  public let description: String
  public var errorDescription: String? { description }

  init(_ sentence: String) {
    description = sentence
  }
}
