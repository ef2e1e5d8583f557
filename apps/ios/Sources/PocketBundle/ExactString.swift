/// A string that equals another when their code points are the same.
///
/// Swift's `String` also equals what is only canonically equivalent ("é" in one code point and in two, the
/// Kelvin sign and "K"). Names of files, keys and pieces of a vocabulary must not: they differ in bytes.
public struct ExactString: Hashable, Comparable, Sendable {
  public let text: String

  public init(_ text: String) {
    self.text = text
  }

  public static func == (one: ExactString, other: ExactString) -> Bool {
    one.text.utf8.elementsEqual(other.text.utf8)
  }

  /// By code points, which is the order of UTF-8's bytes.
  public static func < (one: ExactString, other: ExactString) -> Bool {
    one.text.utf8.lexicographicallyPrecedes(other.text.utf8)
  }

  public func hash(into hasher: inout Hasher) {
    for byte in text.utf8 {
      hasher.combine(byte)
    }
  }
}
