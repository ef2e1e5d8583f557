/// Why a text is no JSON; a bundle's reader says no more than that its manifest is damaged.
public struct MalformedJSON: Error {}

extension JSON {
  /// Reads UTF-8.
  ///
  /// Refused with `MalformedJSON`: what RFC 8259 refuses, a key that is named twice, half of a surrogate
  /// pair, more than `deepest` levels. `NaN`, `Infinity` and `-Infinity` are numbers, as Python writes them.
  public init(reading bytes: [UInt8]) throws {
    guard String(decoding: bytes, as: UTF8.self).utf8.elementsEqual(bytes) else {
      throw MalformedJSON()
    }
    var reader = JSONReader(bytes: bytes)
    self = try reader.document()
  }
}

private struct JSONReader {
  static let deepest = 100

  let bytes: [UInt8]
  private var place = 0
  private var depth = 0

  init(bytes: [UInt8]) {
    self.bytes = bytes
  }

  mutating func document() throws -> JSON {
    let read = try value()
    skipSpace()
    guard place == bytes.count else { throw MalformedJSON() }
    return read
  }

  private mutating func value() throws -> JSON {
    skipSpace()
    switch peek {
    case UInt8(ascii: "{"): return try nested { try $0.object() }
    case UInt8(ascii: "["): return try nested { try $0.array() }
    case UInt8(ascii: "\""): return .string(try string())
    default: return try word() ?? number()
    }
  }

  private mutating func nested(_ read: (inout JSONReader) throws -> JSON) throws -> JSON {
    depth += 1
    guard depth <= JSONReader.deepest else { throw MalformedJSON() }
    place += 1
    let value = try read(&self)
    depth -= 1
    return value
  }

  private mutating func object() throws -> JSON {
    var members: [ExactString: JSON] = [:]
    skipSpace()
    if take("}") { return .object(members) }
    repeat {
      skipSpace()
      let key = ExactString(try string())
      skipSpace()
      guard members[key] == nil, take(":") else { throw MalformedJSON() }
      members[key] = try value()
      skipSpace()
    } while take(",")
    guard take("}") else { throw MalformedJSON() }
    return .object(members)
  }

  private mutating func array() throws -> JSON {
    var items: [JSON] = []
    skipSpace()
    if take("]") { return .array(items) }
    repeat {
      items.append(try value())
      skipSpace()
    } while take(",")
    guard take("]") else { throw MalformedJSON() }
    return .array(items)
  }

  private mutating func string() throws -> String {
    guard take("\"") else { throw MalformedJSON() }
    var text = ""
    while true {
      let first = place
      while let byte = peek, byte >= 0x20, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\") {
        place += 1
      }
      text += String(decoding: bytes[first..<place], as: UTF8.self)
      if take("\"") { return text }
      guard take("\\") else { throw MalformedJSON() }
      text.unicodeScalars.append(try escaped())
    }
  }

  private mutating func escaped() throws -> Unicode.Scalar {
    guard let letter = peek else { throw MalformedJSON() }
    place += 1
    switch letter {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(letter)
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{C}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"): return try unicode()
    default: throw MalformedJSON()
    }
  }

  private mutating func unicode() throws -> Unicode.Scalar {
    let unit = try hexadecimal()
    if let scalar = Unicode.Scalar(unit) { return scalar }
    guard unit < 0xDC00, take("\\"), take("u") else { throw MalformedJSON() }
    let low = try hexadecimal()
    guard (0xDC00...0xDFFF).contains(low) else { throw MalformedJSON() }
    return Unicode.Scalar(0x10000 + (unit - 0xD800) << 10 + (low - 0xDC00))!
  }

  private mutating func hexadecimal() throws -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = peek, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
        throw MalformedJSON()
      }
      value = value << 4 + UInt32(digit)
      place += 1
    }
    return value
  }

  private mutating func word() -> JSON? {
    let words: [(StaticString, JSON)] = [
      ("null", .null), ("true", .bool(true)), ("false", .bool(false)), ("NaN", .number("NaN")),
      ("Infinity", .number("Infinity")), ("-Infinity", .number("-Infinity")),
    ]
    for (word, value) in words where take(word) {
      return value
    }
    return nil
  }

  private mutating func number() throws -> JSON {
    let first = place
    _ = take("-")
    if !take("0") { try digits() }
    if take(".") { try digits() }
    if take("e") || take("E") {
      if !take("+") { _ = take("-") }
      try digits()
    }
    return .number(String(decoding: bytes[first..<place], as: UTF8.self))
  }

  private mutating func digits() throws {
    let first = place
    while let byte = peek, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { place += 1 }
    guard place > first else { throw MalformedJSON() }
  }

  private var peek: UInt8? {
    place < bytes.count ? bytes[place] : nil
  }

  private mutating func skipSpace() {
    while let byte = peek, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 {
      place += 1
    }
  }

  private mutating func take(_ text: StaticString) -> Bool {
    text.withUTF8Buffer { wanted in
      guard bytes[place...].starts(with: wanted) else { return false }
      place += wanted.count
      return true
    }
  }
}
