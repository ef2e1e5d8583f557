import Foundation
import PocketBundle

/// A piece of the vocabulary, and the code points [start, end) of the text that it stands for.
public struct Token: Equatable, Sendable {
  public let id: Int32
  public let start: Int
  public let end: Int
}

/// Why a tokenizer.json is not read.
public struct TokenizerRefused: Error, LocalizedError, CustomStringConvertible {
  public let description =
    "tokenizer.json describes no tokenizer of BERT's kind; make the bundle again"
  public var errorDescription: String? { description }
}

/// BERT's WordPiece tokenizer, equal to Hugging Face's in ids and offsets.
///
/// Words are cut greedily into the longest pieces that the vocabulary has; a word that cannot be, or is
/// longer than 100 code points, is unknown as a whole.
public struct Tokenizer: Sendable {
  let normalizer: Normalizer
  private let vocabulary: [ExactString: Int32]
  private let special: [(points: [UInt32], id: Int32)]
  private let longestPiece: Int
  private let unknown: Int32
  let classification: Int32
  let separator: Int32

  private static let longestWord = 100
  private static let specialPieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

  /// - Parameter vocabulary: pieces with their ids; those inside of words begin with ##.
  /// - Throws: `TokenizerRefused` when a special piece is missing.
  public init(
    vocabulary: [ExactString: Int32], lowercases: Bool, stripsAccents: Bool? = nil,
    cleansText: Bool = true,
    separatesIdeographs: Bool = true
  ) throws {
    let special = try Tokenizer.specialPieces.map { piece in
      guard let id = vocabulary[ExactString(piece)] else { throw TokenizerRefused() }
      return (points: piece.unicodeScalars.map(\.value), id: id)
    }
    self.special = special
    (unknown, classification, separator) = (special[1].id, special[2].id, special[3].id)
    self.vocabulary = vocabulary
    longestPiece = vocabulary.keys.lazy.map(\.text.unicodeScalars.count).max() ?? 0
    normalizer = Normalizer(
      cleansText: cleansText, separatesIdeographs: separatesIdeographs,
      stripsAccents: stripsAccents ?? lowercases, lowercases: lowercases)
  }

  /// Reads a bundle's tokenizer.json.
  ///
  /// - Throws: `TokenizerRefused` for a file that describes anything else than BERT's tokenizer.
  public init(contentsOf file: URL) throws {
    guard let json = try? JSON(reading: Array(Data(contentsOf: file))), let model = json["model"],
      model["type"]?.text == "WordPiece", model["continuing_subword_prefix"]?.text == "##",
      model["unk_token"]?.text == "[UNK]",
      model["max_input_chars_per_word"]?.whole == Tokenizer.longestWord,
      json["pre_tokenizer"]?["type"]?.text == "BertPreTokenizer", let flags = json["normalizer"],
      flags["type"]?.text == "BertNormalizer", let lowercases = flags["lowercase"]?.flag,
      let cleansText = flags["clean_text"]?.flag,
      let separatesIdeographs = flags["handle_chinese_chars"]?.flag,
      let pieces = model["vocab"]?.members, Tokenizer.areSpecial(json["added_tokens"])
    else { throw TokenizerRefused() }
    try self.init(
      vocabulary: pieces.compactMapValues { $0.whole.flatMap(Int32.init(exactly:)) },
      lowercases: lowercases, stripsAccents: flags["strip_accents"]?.flag, cleansText: cleansText,
      separatesIdeographs: separatesIdeographs)
  }

  /// Whether the added tokens are the five special pieces, each found in the text as it was typed.
  private static func areSpecial(_ tokens: JSON?) -> Bool {
    let plain = (tokens?.items ?? []).filter { token in
      ["lstrip", "rstrip", "single_word", "normalized"].allSatisfy { token[$0]?.flag == false }
    }
    return plain.compactMap { $0["content"]?.text }.sorted() == specialPieces.sorted()
      && plain.count == tokens?.items?.count
  }

  /// The tokens of a text, without [CLS] and [SEP] around them.
  public func tokens(of text: String) -> [Token] {
    let letters = text.unicodeScalars.enumerated().map { Letter(point: $1.value, origin: $0) }
    var tokens: [Token] = []
    var (first, place) = (0, 0)
    while place < letters.count {
      if let found = special.first(where: { isSpelled($0.points, in: letters, at: place) }) {
        append(letters[first..<place], to: &tokens)
        tokens.append(Token(id: found.id, start: place, end: place + found.points.count))
        place += found.points.count
        first = place
      } else {
        place += 1
      }
    }
    append(letters[first...], to: &tokens)
    return tokens
  }

  private func isSpelled(_ points: [UInt32], in letters: [Letter], at place: Int) -> Bool {
    letters[place].point == points[0]
      && letters[place...].prefix(points.count).lazy.map(\.point).elementsEqual(points)
  }

  private func append(_ letters: ArraySlice<Letter>, to tokens: inout [Token]) {
    for word in normalizer.words(normalizer.normalize(Array(letters))) {
      tokens += pieces(of: word)
    }
  }

  private func pieces(of word: ArraySlice<Letter>) -> [Token] {
    var pieces: [Token] = []
    var first = word.startIndex
    while first < word.endIndex, word.count <= Tokenizer.longestWord {
      guard let (id, end) = longestPiece(of: word, from: first) else { break }
      pieces.append(Token(id: id, start: word[first].origin, end: word[end - 1].origin + 1))
      first = end
    }
    if first == word.endIndex { return pieces }
    return [Token(id: unknown, start: word.first!.origin, end: word.last!.origin + 1)]
  }

  private func longestPiece(of word: ArraySlice<Letter>, from first: Int) -> (id: Int32, end: Int)?
  {
    let prefix = first == word.startIndex ? "" : "##"
    var end = min(word.endIndex, first + longestPiece)
    while end > first {
      var piece = prefix
      piece.unicodeScalars.append(
        contentsOf: word[first..<end].lazy.map { Unicode.Scalar($0.point)! })
      if let id = vocabulary[ExactString(piece)] { return (id, end) }
      end -= 1
    }
    return nil
  }
}
