/// A JSON value whose numbers stay as they were written.
///
/// A manifest's seal covers its text. Foundation's reader turns numbers into doubles, whose digits cannot be
/// written again as Python wrote them; this one keeps the digits.
public enum JSON: Sendable {
  case null
  case bool(Bool)
  case number(String)
  case string(String)
  case array([JSON])
  case object([ExactString: JSON])

  /// An object's member; nil where there is none or this is no object.
  public subscript(key: String) -> JSON? {
    members?[ExactString(key)]
  }

  public var members: [ExactString: JSON]? {
    if case .object(let members) = self { return members }
    return nil
  }

  public var items: [JSON]? {
    if case .array(let items) = self { return items }
    return nil
  }

  public var text: String? {
    if case .string(let text) = self { return text }
    return nil
  }

  public var flag: Bool? {
    if case .bool(let flag) = self { return flag }
    return nil
  }

  public var double: Double? {
    guard case .number(let digits) = self else { return nil }
    switch digits {
    case "NaN": return .nan
    case "Infinity": return .infinity
    case "-Infinity": return -.infinity
    default: return Double(digits)
    }
  }

  /// A whole number, written as one: 384, not 384.0.
  public var whole: Int? {
    guard case .number(let digits) = self else { return nil }
    return Int(digits)
  }
}

// MARK: - Writing

extension JSON {
  /// Sorted keys, no spaces, ASCII only: what a seal covers, and how values are shown in sentences.
  public var canonical: String {
    var text = ""
    write(to: &text, indent: nil, ascii: true)
    return text
  }

  /// Sorted keys, one space a level: how a manifest is written.
  public var indented: String {
    var text = ""
    write(to: &text, indent: 0, ascii: false)
    return text
  }

  private func write(to text: inout String, indent: Int?, ascii: Bool) {
    switch self {
    case .null: text += "null"
    case .bool(let flag): text += flag ? "true" : "false"
    case .number(let digits): text += digits
    case .string(let string): JSON.write(string, to: &text, ascii: ascii)
    case .array(let items):
      JSON.write(items, between: ("[", "]"), to: &text, indent: indent) { item, text, indent in
        item.write(to: &text, indent: indent, ascii: ascii)
      }
    case .object(let members):
      let sorted = members.sorted { $0.key < $1.key }
      JSON.write(sorted, between: ("{", "}"), to: &text, indent: indent) { member, text, indent in
        JSON.write(member.key.text, to: &text, ascii: ascii)
        text += indent == nil ? ":" : ": "
        member.value.write(to: &text, indent: indent, ascii: ascii)
      }
    }
  }

  private static func write<Element>(
    _ elements: [Element], between brackets: (String, String), to text: inout String, indent: Int?,
    element write: (Element, inout String, Int?) -> Void
  ) {
    text += brackets.0
    for (place, element) in elements.enumerated() {
      if place > 0 { text += "," }
      if let indent { text += "\n" + String(repeating: " ", count: indent + 1) }
      write(element, &text, indent.map { $0 + 1 })
    }
    if let indent, !elements.isEmpty { text += "\n" + String(repeating: " ", count: indent) }
    text += brackets.1
  }

  private static func write(_ string: String, to text: inout String, ascii: Bool) {
    text += "\""
    for scalar in string.unicodeScalars {
      switch scalar {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case "\n": text += "\\n"
      case "\r": text += "\\r"
      case "\t": text += "\\t"
      case "\u{8}": text += "\\b"
      case "\u{C}": text += "\\f"
      case _ where scalar.value < 0x20 || ascii && scalar.value > 0x7E:
        for unit in UTF16.encode(scalar)! { text += escape(unit) }
      default: text.unicodeScalars.append(scalar)
      }
    }
    text += "\""
  }

  private static func escape(_ unit: UInt16) -> String {
    let digits = String(unit, radix: 16)
    return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
  }
}
