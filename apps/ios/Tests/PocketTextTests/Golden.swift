import Foundation
import PocketBundle
import XCTest

@testable import PocketText

/// apps/golden, made by `python -m pipeline.golden_suite`.
enum Golden {
  static let repository = URL(fileURLWithPath: #filePath)
    .appendingPathComponent("../../../../..").standardized

  static func read(_ name: String) throws -> JSON {
    try JSON(
      reading: Array(Data(contentsOf: repository.appendingPathComponent("apps/golden/\(name)"))))
  }

  static func cases(_ name: String) throws -> [JSON] {
    try XCTUnwrap(read(name).items)
  }

  /// The tokenizers that the cases name.
  static let tokenizers: [String: Tokenizer] = {
    do {
      var made: [String: Tokenizer] = [:]
      let lines = try String(
        contentsOf: repository.appendingPathComponent("apps/golden/vocab.txt"), encoding: .utf8)
      let vocabulary = Vocabulary.read(lines)
      for (name, described) in try XCTUnwrap(read("tokenizers.json").members) {
        if let file = described["file"]?.text {
          made[name.text] = try Tokenizer(contentsOf: repository.appendingPathComponent(file))
        } else {
          made[name.text] = try Tokenizer(
            vocabulary: vocabulary, lowercases: described["lowercase"]?.flag ?? false,
            stripsAccents: described["strip_accents"]?.flag,
            cleansText: described["clean_text"]?.flag ?? false,
            separatesIdeographs: described["handle_chinese_chars"]?.flag ?? false)
        }
      }
      return made
    } catch {
      fatalError("\(error)")
    }
  }()

  /// Compares every case; a case is given as what it is and what it should be.
  static func compare(
    _ name: String, atLeast count: Int, _ outcomes: (JSON) throws -> [(got: String, wanted: String)]
  ) throws {
    let cases = try cases("\(name).json")
    var (compared, mismatches) = (0, [String]())
    for given in cases {
      for (got, wanted) in try outcomes(given) {
        compared += 1
        if !got.utf8.elementsEqual(wanted.utf8) {
          mismatches.append(given["id"]!.text! + ": \(got), not \(wanted)")
        }
      }
    }
    print("\(name): \(cases.count) cases, \(compared) compared, \(mismatches.count) mismatches")
    XCTAssertGreaterThanOrEqual(cases.count, count)
    XCTAssertTrue(mismatches.isEmpty, mismatches.prefix(5).joined(separator: "\n"))
  }
}

extension JSON {
  /// A text, given as a string, as UTF-16 code units, or as a unit that repeats.
  func passage(_ name: String) -> String {
    if let text = self[name]?.text { return text }
    if let units = self["\(name)_utf16"]?.items {
      return String(decoding: units.compactMap { $0.whole.map(UInt16.init) }, as: UTF16.self)
    }
    let unit = Array(self["repeated"]!.text!.unicodeScalars)
    var text = String.UnicodeScalarView()
    for place in 0..<self["characters"]!.whole! {
      text.append(unit[place % unit.count])
    }
    return String(text)
  }

  var tokenizer: Tokenizer {
    Golden.tokenizers[self["tokenizer"]!.text!]!
  }

  var questionAnswering: QuestionAnswering {
    QuestionAnswering(
      maxLength: self["max_length"]!.whole!, stride: self["stride"]!.whole!,
      nBest: self["n_best"]?.whole ?? 20, maxAnswerLength: self["max_answer_length"]?.whole ?? 30)
  }
}
