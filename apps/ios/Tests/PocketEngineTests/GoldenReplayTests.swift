import Foundation
import PocketBundle
import PocketText
import XCTest

@testable import PocketEngine

/// Cases recorded by hand: replayed by the program that they describe, and by others.
final class GoldenReplayTests: XCTestCase {
  private let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
    UUID().uuidString)

  override func tearDown() {
    try? FileManager.default.removeItem(at: folder)
  }

  /// What comes out where the recorded case has this answer and these ids.
  private func replay(
    answer: String = #"{"text":"Bert","start":9,"end":13}"#, lastId: Int32? = nil, token: Int = 7
  ) throws -> GoldenReplay {
    let tokenizer = try Tokenizer(contentsOf: TestBundle.tokenizer)
    let window = try tokenizer.windows(
      question: "Who came?", passage: "Anna and Bert came.", task: TestBundle.task)[0]
    var ids = window.ids
    if let lastId { ids[ids.count - 1] = lastId }
    let logits = ids.indices.map { $0 == 7 ? "10.0" : "-10.0" }.joined(separator: ",")
    let offsets = window.ranges.map { "[\($0.lowerBound),\($0.upperBound)]" }
    let golden = """
      {"min_sqnr_db":25.0,"cases":[{"id":"made-up","question":"Who came?",
      "passage":"Anna and Bert came.","answer":\(answer),"windows":[{
      "input_ids":[\(ids.map { String($0) }.joined(separator: ","))],
      "offsets":[\(offsets.joined(separator: ","))],
      "start_logits":[\(logits)],"end_logits":[\(logits)]}]}]}
      """
    try TestBundle.make(folder, golden: golden)
    return try GoldenReplay(
      ModelBundle(folder: folder), with: Pointing(at: [0: token]))
  }

  func testTheProgramThatWasRecorded() throws {
    let replay = try replay()
    XCTAssertEqual(replay.mismatches, [])
    XCTAssertEqual(replay.cases, 1)
    XCTAssertEqual(replay.leastDecibels, .infinity)
  }

  func testAnotherAnswer() throws {
    let stated = #"{"text":"Anna","start":0,"end":4}"#
    XCTAssertEqual(try replay(answer: stated).mismatches, [#"made-up: "Bert", not "Anna""#])
  }

  func testOtherTokens() throws {
    XCTAssertEqual(try replay(lastId: 0).mismatches, ["made-up: other tokens"])
  }

  func testOtherLogits() throws {
    // two of 11 tokens differ by 20, all recorded are ± 10: 10 · log10(1100 / 800)
    let replay = try replay(token: 5)
    XCTAssertEqual(replay.leastDecibels, 1.383, accuracy: 1e-3)
    XCTAssertEqual(replay.mismatches.count, 2)
  }

  func testNoCases() throws {
    try TestBundle.make(folder)
    XCTAssertThrowsError(
      try GoldenReplay(ModelBundle(folder: folder), with: Pointing(at: [:]))
    ) { XCTAssertEqual("\($0)", "the bundle has no golden cases") }
  }
}
