import Foundation
import XCTest

@testable import PocketBundle

/// Every folder of apps/golden/bundles.json: read as Python read it, or refused in the same words.
final class GoldenBundleTests: XCTestCase {
  func testAllFolders() throws {
    let golden = URL(fileURLWithPath: #filePath).appendingPathComponent(
      "../../../../golden/bundles.json")
    let suite = try JSON(reading: Array(Data(contentsOf: golden.standardized)))
    let cases = try XCTUnwrap(suite["cases"]?.items)
    let scratch = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    defer { try? FileManager.default.removeItem(at: scratch) }
    var mismatches: [String] = []
    for (number, given) in cases.enumerated() {
      let folder = scratch.appendingPathComponent(String(number))
      try make(given, of: suite, in: folder)
      let (said, wanted) = (outcome(of: given, in: folder), expected(of: given))
      if said != wanted {
        mismatches.append(given["id"]!.text! + ": \(said), not \(wanted)")
      }
    }
    print("bundles: \(cases.count) compared, \(mismatches.count) mismatches")
    XCTAssertGreaterThan(cases.count, 200)
    XCTAssertTrue(mismatches.isEmpty, mismatches.prefix(5).joined(separator: "\n"))
  }

  private func make(_ given: JSON, of suite: JSON, in folder: URL) throws {
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    var files = suite["files"]?.members ?? [:]
    files.merge(given["files"]?.members ?? [:]) { $1 }
    for (name, content) in files {
      guard let text = content.text else { continue }
      let file = folder.appendingPathComponent(name.text)
      try FileManager.default.createDirectory(
        at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(text.utf8).write(to: file)
    }
    for (name, target) in given["links"]?.members ?? [:] {
      try FileManager.default.createSymbolicLink(
        atPath: folder.appendingPathComponent(name.text).path,
        withDestinationPath: target.text ?? "")
    }
    let manifest =
      given["manifest"]?.text.map { Data($0.utf8) }
      ?? given["manifest_base64"]?.text.flatMap { Data(base64Encoded: $0) }
    try manifest?.write(to: folder.appendingPathComponent("manifest.json"))
  }

  private func outcome(of given: JSON, in folder: URL) -> String {
    do {
      let wanted = given["wanted"]?.text.flatMap(ModelTask.Kind.init(rawValue:))
      let bundle = try ModelBundle(folder: folder, wanted: wanted)
      let program = String(bundle.program.path.dropFirst(folder.path.count + 1))
      let lengths = bundle.lengths.map(String.init)
      let parts: [String] = [
        bundle.name, bundle.target, program, described(bundle.task), bundle.seal,
      ]
      return (parts + lengths).joined(separator: "|")
    } catch {
      return String(describing: error)
    }
  }

  private func expected(of given: JSON) -> String {
    guard let reads = given["reads"] else { return given["says"]!.text! }
    let lengths = reads["lengths"]!.items!.map { String($0.whole!) }
    let task = described(reads["windows"]!)
    let parts: [String] = [
      reads["name"]!.text!, reads["target"]!.text!, reads["program"]!.text!, task,
      reads["seal"]!.text!,
    ]
    return (parts + lengths).joined(separator: "|")
  }

  private func described(_ task: ModelTask) -> String {
    switch task {
    case .questionAnswering(let task):
      let numbers: [Int] = [task.maxLength, task.stride, task.nBest, task.maxAnswerLength]
      return numbers.map(String.init).joined(separator: ",")
    case .textClassification(let task):
      return "\(task.maxLength)," + task.labels.joined(separator: ",")
    case .regression(let task): return "\(task.maxLength)"
    }
  }

  private func described(_ windows: JSON) -> String {
    let keys = ["max_length", "stride", "n_best", "max_answer_length"]
    let numbers: [String] = keys.compactMap { windows[$0]?.whole }.map(String.init)
    let labels: [String] = (windows["labels"]?.items ?? []).compactMap(\.text)
    return (numbers + labels).joined(separator: ",")
  }
}
