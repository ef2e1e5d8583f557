import Foundation
import PocketEngine
import SwiftUI

/// Passage, question, answer: one column on a phone, two where there is room.
struct AskView: View {
  @Environment(\.horizontalSizeClass) private var width
  @State private var ask = AskModel()

  var body: some View {
    NavigationStack {
      Group {
        if width == .regular {
          HStack(spacing: 0) {
            Form { PassageSection(ask: ask) }
            Form { questionAndAnswer }
          }
        } else {
          Form {
            PassageSection(ask: ask)
            questionAndAnswer
          }
        }
      }
      .scrollDismissesKeyboard(.interactively)
      .navigationTitle("Pocket")
      .toolbar { SampleMenu(ask: ask) }
    }
  }

  @ViewBuilder private var questionAndAnswer: some View {
    QuestionSection(ask: ask)
    AnswerSection(outcome: ask.outcome)
    ModelSection()
  }
}

private struct SampleMenu: View {
  let ask: AskModel

  var body: some View {
    Menu("Samples", systemImage: "books.vertical") {
      ForEach(Sample.all) { sample in
        Button(sample.title) { ask.choose(sample) }
      }
    }
  }
}

/// The passage, to be edited; with the answer highlighted as soon as there is one.
private struct PassageSection: View {
  @Bindable var ask: AskModel

  var body: some View {
    Section("Passage") {
      if case .answered(let reply, let passage) = ask.outcome {
        Text(AttributedString(passage, highlighting: reply.answer))
          .textSelection(.enabled)
          .accessibilityLabel("Passage with the answer, \(reply.answer.text)")
          .accessibilityValue(passage)
        Button("Edit passage", systemImage: "pencil") { ask.clear() }
      } else {
        TextField("Paste or type a text", text: $ask.passage, axis: .vertical)
          .lineLimit(4...14)
          .accessibilityLabel("Passage")
        if !ask.passage.isEmpty {
          Button("Clear passage", systemImage: "xmark.circle", role: .destructive) {
            ask.passage = ""
          }
        }
      }
    }
  }
}

private struct QuestionSection: View {
  @Environment(ModelStore.self) private var model
  @Bindable var ask: AskModel
  @FocusState private var isTyping: Bool

  var body: some View {
    Section("Question") {
      TextField("What do you want to know?", text: $ask.question)
        .focused($isTyping)
        .submitLabel(.search)
        .onSubmit(send)
        .accessibilityLabel("Question")
      ForEach(ask.suggestions.filter { $0 != ask.question }, id: \.self) { suggestion in
        Button(suggestion, systemImage: "lightbulb") {
          ask.question = suggestion
          send()
        }
      }
      Button(action: send) {
        Text("Ask").bold().frame(maxWidth: .infinity)
      }
      .buttonStyle(.borderedProminent)
      .disabled(!isReady)
    }
  }

  private var isReady: Bool {
    if case .ready = model.state { return true }
    return false
  }

  private func send() {
    isTyping = false
    if case .ready(let answerer) = model.state { ask.ask(answerer) }
  }
}
