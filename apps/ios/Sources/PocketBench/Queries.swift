import Foundation
import PocketBundle

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

  /// A window of one length, of tokens that the vocabulary has; what they say does not matter to time.
  public static func fixed(_ length: Int) -> Queries {
    let ids = (0..<Int32(length)).map { 1000 + $0 }
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
