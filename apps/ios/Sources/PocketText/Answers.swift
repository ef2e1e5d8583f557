import Foundation
import PocketBundle

/// A span of a passage that answers a question.
public struct Answer: Equatable, Sendable {
  public let text: String
  /// Code points [start, end) of the passage.
  public let range: Range<Int>
  /// The sum of its first token's start logit and its last token's end logit.
  public let score: Double
  /// Its share of the softmax over the scores of the n best.
  public let confidence: Double
  /// Which window it was found in.
  public let window: Int
}

/// What a program gives for one window, a value a token.
public struct SpanLogits: Sendable {
  public let start: [Float]
  public let end: [Float]

  public init(start: [Float], end: [Float]) {
    self.start = start
    self.end = end
  }
}

/// The n best answers of all windows, best first; of equal scores the first window's earliest span is best.
///
/// - Parameter logits: one a window; values behind a window's tokens, where it was padded, are not read.
/// - Throws: `TextRefused` when no score is finite.
public func answers(
  in passage: String, windows: [Window], logits: [SpanLogits], task: QuestionAnswering
) throws -> [Answer] {
  var candidates: [Candidate] = []
  for (number, (window, logits)) in zip(windows, logits).enumerated() {
    candidates += best(task.nBest, of: spans(of: window, number, logits, task))
  }
  let found = best(task.nBest, of: candidates)
  guard let highest = found.first?.score else {
    throw TextRefused("the model's logits are not finite, so no answer can be read from them")
  }
  let weights = found.map { exp($0.score - highest) }
  let sum = weights.reduce(0, +)
  let points = Array(passage.unicodeScalars)
  return zip(found, weights).map { candidate, weight in
    var text = String.UnicodeScalarView()
    text.append(contentsOf: points[candidate.range])
    return Answer(
      text: String(text), range: candidate.range, score: candidate.score, confidence: weight / sum,
      window: candidate.window)
  }
}

private struct Candidate {
  let range: Range<Int>
  let score: Double
  let window: Int
}

/// All spans of a window that may be answers, by their first token, then by their last.
private func spans(
  of window: Window, _ number: Int, _ logits: SpanLogits, _ task: QuestionAnswering
) -> [Candidate] {
  var spans: [Candidate] = []
  for first in window.ids.indices where window.isPassage(first) {
    for last in first..<min(first + task.maxAnswerLength, window.ids.count)
    where window.isPassage(last) {
      let score = Double(logits.start[first]) + Double(logits.end[last])
      guard score.isFinite else { continue }
      let range = window.ranges[first].lowerBound..<window.ranges[last].upperBound
      spans.append(Candidate(range: range, score: score, window: number))
    }
  }
  return spans
}

/// The best of some candidates, each range once; of equal scores the earlier is the better.
private func best(_ count: Int, of candidates: [Candidate]) -> [Candidate] {
  let order = candidates.indices.sorted {
    let (one, other) = (candidates[$0].score, candidates[$1].score)
    return one != other ? one > other : $0 < $1
  }
  var seen: Set<Range<Int>> = []
  var best: [Candidate] = []
  for place in order where best.count < count && seen.insert(candidates[place].range).inserted {
    best.append(candidates[place])
  }
  return best
}

/// The most likely label and its share of the softmax; of equal logits the first label's.
///
/// - Parameter logits: one a label.
public func mostLikelyLabel(_ logits: [Float]) -> (number: Int, confidence: Double)? {
  guard let highest = logits.max(), let number = logits.firstIndex(of: highest) else { return nil }
  return (number, 1 / logits.reduce(0) { $0 + exp(Double($1) - Double(highest)) })
}
