import PocketBundle

/// A vocabulary as files hold it.
public enum Vocabulary {
  /// Reads a vocab.txt: a piece a line, whose number, from 0, is the id. Only a line feed ends a line.
  public static func read(_ text: String) -> [ExactString: Int32] {
    var vocabulary: [ExactString: Int32] = [:]
    let lines = text.utf8.split(separator: 0x0A, omittingEmptySubsequences: false)
    for (number, line) in lines.enumerated() where !line.isEmpty {
      vocabulary[ExactString(String(Substring(line)))] = Int32(number)
    }
    return vocabulary
  }
}
