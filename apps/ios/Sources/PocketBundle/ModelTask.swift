/// What a bundle's program is for, with the settings that its manifest states under `windows`.
public enum ModelTask: Sendable, Equatable {
  case questionAnswering(QuestionAnswering)
  case textClassification(TextClassification)
  case regression(TextRegression)

  /// The tasks' names in manifests.
  public enum Kind: String, CaseIterable, Sendable {
    case questionAnswering = "question-answering"
    case textClassification = "text-classification"
    case regression
  }
}

/// All numbers but `nBest` count tokens.
public struct QuestionAnswering: Sendable, Equatable {
  public let maxLength: Int
  /// How many tokens neighbouring windows share.
  public let stride: Int
  public let nBest: Int
  public let maxAnswerLength: Int

  public init(maxLength: Int, stride: Int, nBest: Int, maxAnswerLength: Int) {
    self.maxLength = maxLength
    self.stride = stride
    self.nBest = nBest
    self.maxAnswerLength = maxAnswerLength
  }
}

public struct TextClassification: Sendable, Equatable {
  public let maxLength: Int
  /// A label's place is its number.
  public let labels: [String]
}

public struct TextRegression: Sendable, Equatable {
  public let maxLength: Int
}

// MARK: - Reading a manifest

extension ModelTask {
  /// Nil unless the settings are the task's, all of them and no others, each within its range.
  init?(kind: Kind, settings: JSON) {
    guard let given = settings.members, settings["kind"]?.text == kind.rawValue else { return nil }
    let expected = ModelTask.keys[kind, default: []]
    guard given.count == expected.count, expected.allSatisfy({ given[ExactString($0)] != nil })
    else { return nil }
    switch kind {
    case .questionAnswering:
      guard let task = QuestionAnswering(settings) else { return nil }
      self = .questionAnswering(task)
    case .textClassification:
      guard let task = TextClassification(settings) else { return nil }
      self = .textClassification(task)
    case .regression:
      guard let task = TextRegression(settings) else { return nil }
      self = .regression(task)
    }
  }

  private static let keys: [Kind: [String]] = [
    .questionAnswering: ["kind", "max_length", "stride", "n_best", "max_answer_length"],
    .textClassification: ["kind", "max_length", "labels", "metrics"],
    .regression: ["kind", "max_length", "metrics", "agree_within"],
  ]
}

extension QuestionAnswering {
  fileprivate init?(_ settings: JSON) {
    guard let maxLength = settings["max_length"]?.whole, (16...512).contains(maxLength),
      let stride = settings["stride"]?.whole, (1..<maxLength - 8).contains(stride),
      let nBest = settings["n_best"]?.whole, nBest >= 1,
      let maxAnswerLength = settings["max_answer_length"]?.whole, maxAnswerLength >= 1
    else { return nil }
    self.init(maxLength: maxLength, stride: stride, nBest: nBest, maxAnswerLength: maxAnswerLength)
  }
}

extension TextClassification {
  fileprivate init?(_ settings: JSON) {
    guard let maxLength = settings["max_length"]?.whole, (8...512).contains(maxLength),
      let labels = texts(settings["labels"]), labels.count >= 2,
      Set(labels.map(ExactString.init)).count == labels.count,
      let metrics = texts(settings["metrics"]), !metrics.isEmpty,
      metrics.allSatisfy(["accuracy", "f1", "matthews"].contains),
      labels.count == 2 || metrics.allSatisfy({ $0 == "accuracy" })
    else { return nil }
    self.init(maxLength: maxLength, labels: labels)
  }
}

extension TextRegression {
  fileprivate init?(_ settings: JSON) {
    guard let maxLength = settings["max_length"]?.whole, (8...512).contains(maxLength),
      let metrics = texts(settings["metrics"]), !metrics.isEmpty,
      metrics.allSatisfy(["pearson", "spearman"].contains),
      let within = settings["agree_within"]?.double, within > 0, within.isFinite
    else { return nil }
    self.init(maxLength: maxLength)
  }
}

private func texts(_ value: JSON?) -> [String]? {
  guard let items = value?.items else { return nil }
  let texts = items.compactMap(\.text)
  return texts.count == items.count ? texts : nil
}
