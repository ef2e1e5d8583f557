import Foundation
import PocketEngine
import PocketText
import SwiftUI

/// What became of the question.
struct AnswerSection: View {
  let outcome: AskModel.Outcome

  var body: some View {
    switch outcome {
    case .none:
      EmptyView()
    case .asking:
      Section("Answer") { ProgressView("Reading the passage") }
    case .answered(let reply, _):
      Section("Answer") {
        Text(reply.answer.text)
          .font(.title3.bold())
          .textSelection(.enabled)
        LabeledContent(
          "Confidence", value: reply.answer.confidence,
          format: .percent.precision(.fractionLength(0)))
        LabeledContent("Inference", value: time(reply.inference))
        LabeledContent("Windows of text", value: reply.windows, format: .number)
      }
    case .refused(let why):
      Section("Answer") { Label(why, systemImage: "exclamationmark.triangle") }
    }
  }

  private func time(_ duration: Duration) -> String {
    duration.milliseconds.formatted(.number.precision(.fractionLength(1))) + " ms"
  }
}

/// Which model answers, and how much room it takes; or why there is none.
struct ModelSection: View {
  @Environment(ModelStore.self) private var model

  var body: some View {
    Section("Model") {
      switch model.state {
      case .loading:
        ProgressView("Checking and loading the model")
      case .ready(let answerer):
        LabeledContent("Name", value: answerer.bundle.name)
        LabeledContent("Size", value: megabytes(answerer.bundle.sizeBytes))
      case .unverified(let why):
        Label(why, systemImage: "questionmark.diamond")
        Button("Try it all the same") {
          Task { await model.open(unverified: true) }
        }
      case .refused(let why):
        Label(why, systemImage: "xmark.octagon")
      }
    }
  }

  private func megabytes(_ bytes: Int) -> String {
    (Double(bytes) / 1e6).formatted(.number.precision(.fractionLength(1))) + " MB"
  }
}

extension AttributedString {
  /// A passage in which the answer stands out, by more than its colour.
  init(_ passage: String, highlighting answer: Answer) {
    let range = passage.indices(ofCodePoints: answer.range)
    var found = AttributedString(String(passage[range]))
    found.swiftUI.backgroundColor = .yellow.opacity(0.4)
    found.swiftUI.underlineStyle = .single
    found.swiftUI.font = .body.bold()
    self = AttributedString(String(passage[..<range.lowerBound]))
    self += found
    self += AttributedString(String(passage[range.upperBound...]))
  }
}
