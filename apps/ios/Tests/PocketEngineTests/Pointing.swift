import PocketEngine
import PocketText

/// A program whose logits are high at one token of some of its windows.
final class Pointing: Program {
  let runtime = "a test"
  private let tokens: [Int: Int]
  private var window = 0

  init(at tokens: [Int: Int]) {
    self.tokens = tokens
  }

  func logits(of input: ProgramInput) throws -> SpanLogits {
    var logits = [Float](repeating: -10, count: input.ids.count)
    if let token = tokens[window] { logits[token] = 10 }
    window += 1
    return SpanLogits(start: logits, end: logits)
  }
}
