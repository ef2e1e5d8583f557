import Foundation
import PocketBundle

/// Why a text cannot be asked about, in the sentence that every platform says.
public struct TextRefused: Error, Equatable, LocalizedError, CustomStringConvertible {
  public let description: String
  public var errorDescription: String? { description }

  init(_ sentence: String) {
    description = sentence
  }
}

/// One input of the program: [CLS] question [SEP] part of the passage [SEP].
public struct Window: Equatable, Sendable {
  public let ids: [Int32]
  /// Per token its code points in the passage; empty at 0 for tokens that are not of the passage.
  public let ranges: [Range<Int>]

  public init(ids: [Int32], ranges: [Range<Int>]) {
    self.ids = ids
    self.ranges = ranges
  }

  func isPassage(_ token: Int) -> Bool {
    ranges[token].upperBound > 0
  }
}

extension Tokenizer {
  /// All windows of a passage, neighbours sharing `stride` tokens.
  ///
  /// - Throws: `TextRefused` for an empty question or passage, or a question that leaves no room.
  public func windows(question: String, passage: String, task: QuestionAnswering) throws -> [Window]
  {
    if isBlank(question) { throw TextRefused("the question is empty; ask something") }
    if isBlank(passage) { throw TextRefused("the passage is empty; give some text") }
    let asked = tokens(of: question)
    if asked.isEmpty { throw TextRefused("the question holds no readable text") }
    let room = task.maxLength - asked.count - 3
    if room < 1 || room <= task.stride {
      throw TextRefused(
        "the question is \(asked.count) tokens long, which leaves no room for the passage in "
          + "\(task.maxLength) tokens with a stride of \(task.stride); shorten it")
    }
    let tokens = tokens(of: passage)
    if tokens.isEmpty { throw TextRefused("the passage holds no readable text") }
    let head = [classification] + asked.map(\.id) + [separator]
    let outside = 0..<0
    return parts(of: tokens, room: room, stride: task.stride).map { part in
      var ranges = head.map { _ in outside }
      ranges += part.map { $0.start..<$0.end }
      return Window(ids: head + part.map(\.id) + [separator], ranges: ranges + [outside])
    }
  }

  private func parts(of tokens: [Token], room: Int, stride: Int) -> [ArraySlice<Token>] {
    var parts: [ArraySlice<Token>] = []
    var first = 0
    while true {
      let last = min(first + room, tokens.count)
      parts.append(tokens[first..<last])
      if last == tokens.count { return parts }
      first += room - stride
    }
  }

  /// The one window of a text or a pair of texts: [CLS] text [SEP], or [CLS] text [SEP] pair [SEP].
  ///
  /// What exceeds `maxLength` is cut off: of one text its end, of a pair the end of the longer one.
  /// - Throws: `TextRefused` for an empty text.
  public func ids(text: String, pair: String? = nil, maxLength: Int) throws -> [Int32] {
    if isBlank(text) || pair.map(isBlank) == true {
      throw TextRefused("the text is empty; give some")
    }
    var ids = [classification]
    let first = tokens(of: text).map(\.id)
    guard let pair else {
      ids += first.prefix(maxLength - 2)
      return ids + [separator]
    }
    let second = tokens(of: pair).map(\.id)
    let kept = shares(first.count, second.count, of: maxLength - 3)
    ids += first.prefix(kept.0)
    ids.append(separator)
    ids += second.prefix(kept.1)
    return ids + [separator]
  }

  /// How many tokens of each of two texts are kept; where both are too long, the second gets the odd one,
  /// or the first if it is the longer.
  private func shares(_ first: Int, _ second: Int, of room: Int) -> (Int, Int) {
    if first + second <= room { return (first, second) }
    let shorter = min(first, second, room / 2)
    return first > second ? (room - shorter, shorter) : (shorter, room - shorter)
  }

  /// Nothing but white space, as Python strips it: the tables' and the four separators of ASCII.
  private func isBlank(_ text: String) -> Bool {
    text.unicodeScalars.allSatisfy { scalar in
      UnicodeTables.shared.whitespace.contains(scalar.value) || (0x1C...0x1F).contains(scalar.value)
    }
  }
}
