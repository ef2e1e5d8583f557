import Foundation
import PocketBundle
import PocketText

/// A bundle's golden cases, answered again on this device and compared with what was recorded when it was made.
///
/// apps/README.md says what has to be the same: ids and offsets, the answer, and logits within `min_sqnr_db`.
public struct GoldenReplay: Sendable {
  public private(set) var cases = 0
  /// A sentence for each case that came out differently.
  public private(set) var mismatches: [String] = []
  /// Signal to noise of the worst case's logits; infinite where all are equal to the last bit.
  public private(set) var leastDecibels = Double.infinity

  /// - Throws: `ProgramFailed` for a bundle without cases, or what the program throws.
  public init(_ bundle: ModelBundle, with program: any Program) throws {
    guard case .questionAnswering(let task) = bundle.task,
      let golden = try? JSON(reading: Array(Data(contentsOf: bundle.url(of: "golden.json")))),
      let cases = golden["cases"]?.items, !cases.isEmpty,
      let limit = golden["min_sqnr_db"]?.double
    else { throw ProgramFailed("the bundle has no golden cases") }
    let tokenizer = try Tokenizer(contentsOf: bundle.url(of: "tokenizer.json"))
    for given in cases {
      let passage = given["passage"]?.text ?? ""
      let windows = try tokenizer.windows(
        question: given["question"]?.text ?? "", passage: passage, task: task)
      let logits = try windows.map { window -> SpanLogits in
        let all = try program.logits(of: ProgramInput(window.ids, for: bundle))
        let count = window.ids.count
        return SpanLogits(start: Array(all.start.prefix(count)), end: Array(all.end.prefix(count)))
      }
      let found = try answers(in: passage, windows: windows, logits: logits, task: task)[0]
      compare(given, windows: windows, logits: logits, answer: found, limit: limit)
    }
  }

  private mutating func compare(
    _ given: JSON, windows: [Window], logits: [SpanLogits], answer: Answer, limit: Double
  ) {
    cases += 1
    let id = given["id"]?.text ?? "case \(cases)"
    let recorded = given["windows"]?.items ?? []
    guard recorded.map({ $0["input_ids"]?.canonical }) == windows.map({ canonical($0.ids) }),
      recorded.map({ $0["offsets"]?.canonical }) == windows.map({ canonical($0.ranges) })
    else {
      mismatches.append("\(id): other tokens")
      return
    }
    let wanted = recorded.flatMap { numbers($0["start_logits"]) + numbers($0["end_logits"]) }
    let decibels = signalToNoise(wanted, logits.flatMap { $0.start + $0.end }.map(Double.init))
    leastDecibels = min(leastDecibels, decibels)
    if decibels < limit {
      mismatches.append("\(id): logits at \(decibels) dB; \(limit) dB are the least")
    }
    let stated = given["answer"]
    if answer.range.lowerBound != stated?["start"]?.whole
      || answer.range.upperBound != stated?["end"]?.whole
      || !answer.text.utf8.elementsEqual((stated?["text"]?.text ?? "").utf8)
    {
      mismatches.append("\(id): \"\(answer.text)\", not \"\(stated?["text"]?.text ?? "")\"")
    }
  }
}

private func canonical(_ ids: [Int32]) -> String {
  "[" + ids.map { String($0) }.joined(separator: ",") + "]"
}

private func canonical(_ ranges: [Range<Int>]) -> String {
  "[" + ranges.map { "[\($0.lowerBound),\($0.upperBound)]" }.joined(separator: ",") + "]"
}

private func numbers(_ field: JSON?) -> [Double] {
  (field?.items ?? []).map { $0.double ?? .nan }
}

/// 10 · log10(Σ recorded² / Σ (recorded − measured)²); infinite where there is no difference.
private func signalToNoise(_ recorded: [Double], _ measured: [Double]) -> Double {
  guard recorded.count == measured.count else { return -.infinity }
  let signal = recorded.reduce(0) { $0 + $1 * $1 }
  let noise = zip(recorded, measured).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
  if noise == 0 { return .infinity }
  return noise.isFinite ? 10 * log10(signal / noise) : -.infinity
}
