import Foundation
import PocketBundle
import XCTest

@testable import PocketText

/// Everything in apps/golden but bundles: not one id, offset or answer may differ from Python's.
final class GoldenTextTests: XCTestCase {
  func testTokenization() throws {
    try Golden.compare("tokenization", atLeast: 2000) { given in
      let text = given.passage("text")
      return Golden.tokenizers.map { name, tokenizer -> (got: String, wanted: String) in
        let tokens = tokenizer.tokens(of: text)
        let ends: [Int] = tokens.flatMap { token -> [Int] in [token.start, token.end] }
        let got = array([array(tokens.map { Int($0.id) }), array(ends)])
        return (got, given[name]!.canonical)
      }
    }
  }

  func testEveryCodePoint() throws {
    let suite = try Golden.read("code_points.json")
    let (before, after) = (suite["before"]!.text!, suite["after"]!.text!)
    for block in suite["blocks"]!.items! {
      let points = (block["first"]!.whole!...block["last"]!.whole!).compactMap(UnicodeScalar.init)
      for (name, tokenizer) in Golden.tokenizers where name != "pocket" {
        let lines = points.map { line(before + String($0) + after, tokenizer.normalizer) }
        XCTAssertEqual(
          Hash.sha256(lines.joined()), block[name]!.text, "\(name) from \(points[0].value) on")
      }
    }
  }

  private func line(_ text: String, _ normalizer: Normalizer) -> String {
    let letters = text.unicodeScalars.enumerated().map { Letter(point: $1.value, origin: $0) }
    var line = String.UnicodeScalarView()
    for (place, word) in normalizer.words(normalizer.normalize(letters)).enumerated() {
      if place > 0 { line.append(" ") }
      line.append(contentsOf: word.map { UnicodeScalar($0.point)! })
    }
    line.append("\n")
    return String(line)
  }

  func testWindows() throws {
    try Golden.compare("windows", atLeast: 450) { given in
      do {
        let windows = try given.tokenizer.windows(
          question: given.passage("question"), passage: given.passage("passage"),
          task: given.questionAnswering)
        let got = array(windows.map { window -> String in array(window) })
        if let hash = given["sha256"]?.text {
          return [("\(windows.count) \(Hash.sha256(got))", "\(given["count"]!.whole!) \(hash)")]
        }
        return [(got, given["windows"]?.canonical ?? given["refused"]!.canonical)]
      } catch {
        return [("\(error)", given["refused"]?.text ?? "no refusal")]
      }
    }
  }

  func testAnswers() throws {
    try Golden.compare("answers", atLeast: 450) { given in
      let passage = given.passage("passage")
      let windows = try given.tokenizer.windows(
        question: given.passage("question"), passage: passage, task: given.questionAnswering)
      let logits = zip(given["start_256ths"]!.items!, given["end_256ths"]!.items!).map {
        (start, end) -> SpanLogits in SpanLogits(start: floats(start), end: floats(end))
      }
      do {
        let found = try answers(
          in: passage, windows: windows, logits: logits, task: given.questionAnswering)
        let wanted = given["answers"]?.items ?? []
        XCTAssertEqual(found.count, wanted.count, given["id"]!.text!)
        return zip(found, wanted).map { answer, stated -> (got: String, wanted: String) in
          (described(answer, in: passage), described(stated, near: answer.confidence))
        }
      } catch {
        return [("\(error)", given["refused"]?.text ?? "no refusal")]
      }
    }
  }

  private func described(_ answer: Answer, in passage: String) -> String {
    let range = NSRange(passage.indices(ofCodePoints: answer.range), in: passage)
    let numbers: [Int] = [
      answer.range.lowerBound, answer.range.upperBound, range.lowerBound, range.upperBound,
      answer.window,
      Int(answer.score * 256),
    ]
    return answer.text + array(numbers) + String(answer.confidence)
  }

  private func described(_ wanted: JSON, near confidence: Double) -> String {
    let stated = wanted["confidence"]!.double!
    let utf16 = wanted["utf16"]!.items!.compactMap(\.whole)
    let numbers: [Int] = [
      wanted["start"]!.whole!, wanted["end"]!.whole!, utf16[0], utf16[1], wanted["window"]!.whole!,
      wanted["score_256ths"]!.whole!,
    ]
    return wanted["text"]!.text! + array(numbers) + String(near(stated, confidence))
  }

  func testTexts() throws {
    try Golden.compare("texts", atLeast: 300) { given in
      let pair = given["pair"] == nil && given["pair_utf16"] == nil ? nil : given.passage("pair")
      do {
        let ids = try given.tokenizer.ids(
          text: given.passage("text"), pair: pair, maxLength: given["max_length"]!.whole!)
        let (number, confidence) = try XCTUnwrap(mostLikelyLabel(floats(given["logits_256ths"]!)))
        let stated = near(given["confidence"]!.double!, confidence)
        return [
          (array(ids.map(Int.init)), given["ids"]!.canonical),
          (String(number), given["number"]!.canonical),
          (String(confidence), String(stated)),
        ]
      } catch {
        return [("\(error)", given["refused"]?.text ?? "no refusal")]
      }
    }
  }

  /// The confidence that was found where it is within 10⁻⁹ of the stated one: exp differs in its last digits.
  private func near(_ stated: Double, _ found: Double) -> Double {
    abs(stated - found) < 1e-9 ? found : stated
  }

  private func floats(_ numbers: JSON) -> [Float] {
    numbers.items!.map { number in
      if let whole = number.whole { return Float(whole) / 256 }
      return Float(number.text!)!
    }
  }

  private func array(_ numbers: [Int]) -> String {
    "[" + numbers.map(String.init).joined(separator: ",") + "]"
  }

  private func array(_ texts: [String]) -> String {
    "[" + texts.joined(separator: ",") + "]"
  }

  private func array(_ window: Window) -> String {
    let ends: [Int] = window.ranges.flatMap { range -> [Int] in
      [range.lowerBound, range.upperBound]
    }
    return array([array(window.ids.map(Int.init)), array(ends)])
  }
}
