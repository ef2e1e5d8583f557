import Foundation
import PocketBundle
import XCTest

/// A small bundle with the repository's own tokenizer and a program of a few bytes.
enum TestBundle {
  static let repository = URL(fileURLWithPath: #filePath)
    .appendingPathComponent("../../../../..").standardized

  static let tokenizer = repository.appendingPathComponent(
    "pipeline/pretrained/pocket-general/tokenizer.json")
  static let task = QuestionAnswering(maxLength: 32, stride: 8, nBest: 20, maxAnswerLength: 10)

  static func make(
    _ folder: URL, target: String = "coreml", verified: Bool = true, golden: String = "{}"
  ) throws {
    try? FileManager.default.removeItem(at: folder)
    let program = folder.appendingPathComponent("model.mlpackage")
    try FileManager.default.createDirectory(at: program, withIntermediateDirectories: true)
    try Data("a program".utf8).write(to: program.appendingPathComponent("model.mlmodel"))
    try FileManager.default.copyItem(
      at: tokenizer, to: folder.appendingPathComponent("tokenizer.json"))
    try Data(golden.utf8).write(to: folder.appendingPathComponent("golden.json"))
    let files = try ["golden.json", "model.mlpackage/model.mlmodel", "tokenizer.json"].map { name in
      let hash = try Hash.sha256(file: folder.appendingPathComponent(name))
      return "\"\(name)\":{\"sha256\":\"\(hash)\",\"size_bytes\":1}"
    }
    let windows =
      #"{"kind":"question-answering","max_length":32,"stride":8,"n_best":20,"max_answer_length":10}"#
    let why = verified ? "" : #""why_not_verified":"nothing here runs it","#
    let text = """
      {"format":1,"task":"question-answering","name":"made-up","target":"\(target)",
      "program":"model.mlpackage","windows":\(windows),"lengths":{"fixed":[16,32]},"metrics":{},
      "verified":\(verified),\(why)"precision":"int8","files":{\(files.joined(separator: ","))}}
      """
    let manifest = try JSON(reading: Array(text.utf8))
    var members = try XCTUnwrap(manifest.members)
    members[ExactString("seal")] = .string(Hash.sha256(manifest.canonical))
    try Data(JSON.object(members).indented.utf8)
      .write(to: folder.appendingPathComponent("manifest.json"))
  }
}
