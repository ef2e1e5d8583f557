import Foundation
import Observation
import PocketEngine
import PocketText

/// A passage, a question, and what became of it.
@MainActor
@Observable
final class AskModel {
  enum Outcome {
    case none
    case asking
    /// With the passage that was asked about.
    case answered(Reply, passage: String)
    case refused(String)
  }

  var passage = Sample.all.first?.passage ?? ""
  var question = Sample.all.first?.questions.first ?? ""
  private(set) var outcome = Outcome.none
  private var task: Task<Void, Never>?

  /// Suggestions that go with the passage, if it is one of the samples.
  var suggestions: [String] {
    Sample.all.first { $0.passage == passage }?.questions ?? []
  }

  func choose(_ sample: Sample) {
    passage = sample.passage
    question = sample.questions.first ?? ""
    clear()
  }

  /// Asks; a question that is still being answered is given up.
  func ask(_ answerer: QuestionAnswerer) {
    task?.cancel()
    outcome = .asking
    let (question, passage) = (question, passage)
    task = Task {
      do {
        let reply = try await answerer.ask(question, about: passage)
        finish(.answered(reply, passage: passage))
      } catch is CancellationError {
        return
      } catch {
        finish(.refused(sentence(of: error)))
      }
    }
  }

  /// Takes the answer away, so that the passage can be edited again.
  func clear() {
    task?.cancel()
    outcome = .none
  }

  private func finish(_ outcome: Outcome) {
    guard !Task.isCancelled else { return }
    self.outcome = outcome
    switch outcome {
    case .answered(let reply, _): announce("Answer: \(reply.answer.text)")
    case .refused(let why): announce(why)
    case .none, .asking: break
    }
  }
}
