import Foundation
import PocketBundle
import PocketText

/// What comes before and after the program: tokenizing a question and decoding its answer, timed apart.
///
/// Real questions on real passages: the bundle's own golden cases, whose recorded logits are decoded. Both are
/// empty where a bundle has no cases, as baselines have none.
struct TextTimes {
  private(set) var tokenizing: [UInt64] = []
  private(set) var decoding: [UInt64] = []

  private static let (warmup, runs) = (5, 50)

  init(_ bundle: ModelBundle) throws {
    guard case .questionAnswering(let task) = bundle.task,
      let golden = try? JSON(reading: Array(Data(contentsOf: bundle.url(of: "golden.json")))),
      let cases = golden["cases"]?.items, !cases.isEmpty
    else { return }
    let tokenizer = try Tokenizer(contentsOf: bundle.url(of: "tokenizer.json"))
    let recorded = cases.map(GoldenCase.init)
    for run in 0..<(TextTimes.warmup + TextTimes.runs) {
      let example = recorded[run % recorded.count]
      let began = ContinuousClock.now
      let windows = try tokenizer.windows(
        question: example.question, passage: example.passage, task: task)
      let tokenized = ContinuousClock.now
      _ = try answers(
        in: example.passage, windows: windows, logits: example.logits, task: task)
      let decoded = ContinuousClock.now
      if run >= TextTimes.warmup {
        tokenizing.append((tokenized - began).nanoseconds)
        decoding.append((decoded - tokenized).nanoseconds)
      }
    }
  }
}

private struct GoldenCase {
  let question: String
  let passage: String
  let logits: [SpanLogits]

  init(_ recorded: JSON) {
    question = recorded["question"]?.text ?? ""
    passage = recorded["passage"]?.text ?? ""
    logits = (recorded["windows"]?.items ?? []).map { window in
      let floats = { (name: String) in
        (window[name]?.items ?? []).map { Float($0.double ?? .nan) }
      }
      return SpanLogits(start: floats("start_logits"), end: floats("end_logits"))
    }
  }
}
