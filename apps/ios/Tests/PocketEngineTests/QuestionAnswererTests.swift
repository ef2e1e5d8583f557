import Foundation
import PocketBundle
import PocketText
import XCTest

@testable import PocketEngine

/// From a folder to an answer, with a program that plays back: windows padded, run in order, decoded.
final class QuestionAnswererTests: XCTestCase {
  private var folder = URL(fileURLWithPath: "/")

  override func setUpWithError() throws {
    folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    try TestBundle.make(folder)
  }

  override func tearDown() {
    try? FileManager.default.removeItem(at: folder)
  }

  func testAnAnswerWhereTheLogitsPoint() async throws {
    let bundle = try ModelBundle(folder: folder, wanted: .questionAnswering)
    // [CLS] who came ? [SEP] anna and … : the passage begins with token 5
    let pointing = Pointing(at: [0: 7])
    let answerer = try QuestionAnswerer(bundle: bundle, program: pointing)
    let reply = try await answerer.ask("Who came?", about: "Anna and Bert came.")
    XCTAssertEqual(reply.answer.text, "Bert")
    XCTAssertEqual(reply.answer.range, 9..<13)
    XCTAssertEqual(reply.windows, 1)
    XCTAssertGreaterThan(reply.answer.confidence, 0.99)
    XCTAssertLessThanOrEqual(reply.inference, reply.total)
  }

  func testWindowsArePaddedToTheNextLength() async throws {
    let bundle = try ModelBundle(folder: folder, wanted: .questionAnswering)
    let short = try ProgramInput([2, 7, 3], for: bundle)
    XCTAssertEqual(short.shape, [1, 16])
    XCTAssertEqual(short.ids, [2, 7, 3] + [Int32](repeating: 0, count: 13))
    XCTAssertEqual(short.mask, [1, 1, 1] + [Int32](repeating: 0, count: 13))
    let whole = try ProgramInput([Int32](repeating: 7, count: 32), for: bundle)
    XCTAssertEqual(whole.mask, [Int32](repeating: 1, count: 32))
    XCTAssertThrowsError(try ProgramInput([Int32](repeating: 7, count: 33), for: bundle)) { error in
      XCTAssertEqual("\(error)", "the model takes at most 32 tokens, not 33")
    }
  }

  func testTheBestOfManyWindowsWins() async throws {
    let bundle = try ModelBundle(folder: folder, wanted: .questionAnswering)
    let passage = Array(repeating: "one", count: 60).joined(separator: " ") + " Bert"
    let answerer = try QuestionAnswerer(bundle: bundle, program: Pointing(at: [2: 6]))
    let reply = try await answerer.ask("Who came?", about: passage)
    XCTAssertEqual(reply.windows, 3)  // from tokens 0, 18 and 36, 26 each
    XCTAssertEqual(reply.answer.window, 2)
    XCTAssertEqual(reply.answer.text, "one")
  }

  func testWhatCannotBeAskedIsRefused() async throws {
    let bundle = try ModelBundle(folder: folder, wanted: .questionAnswering)
    let answerer = try QuestionAnswerer(bundle: bundle, program: Pointing(at: [:]))
    do {
      _ = try await answerer.ask(" ", about: "Anna came.")
      XCTFail("an empty question was answered")
    } catch {
      XCTAssertEqual("\(error)", "the question is empty; ask something")
    }
  }

  func testABundleThatWasNeverVerifiedIsRefused() async throws {
    try TestBundle.make(folder, verified: false)
    do {
      _ = try await QuestionAnswerer.open(folder, cache: folder)
      XCTFail("it was opened")
    } catch {
      XCTAssertEqual("\(error)", "it was never verified: nothing here runs it")
    }
  }

  func testAnUnknownRuntimeIsNamed() async throws {
    try TestBundle.make(folder, target: "tflite")
    do {
      _ = try await QuestionAnswerer.open(
        folder, cache: folder.appendingPathComponent("cache"), unverified: true)
      XCTFail("it was opened")
    } catch {
      XCTAssertEqual("\(error)", "made-up is for tflite; this app runs coreml")
    }
  }
}
