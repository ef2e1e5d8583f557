import Foundation

/// What the tokenizer makes of code points. unicode.txt says what each table is and why no table of the
/// system is asked.
struct UnicodeTables: Sendable {
  let dropped: CodePoints
  let whitespace: CodePoints
  let ideographs: CodePoints
  let nonspacing: CodePoints
  let punctuation: CodePoints
  private let classes: [(points: CodePoints, number: UInt8)]
  private let marks: CodePoints
  private let decompositions: [UInt32: [UInt32]]
  private let lowerCase: [UInt32: [UInt32]]

  /// The tables that come with this package.
  static let shared: UnicodeTables = {
    guard let file = Bundle.module.url(forResource: "unicode", withExtension: "txt"),
      let text = try? String(contentsOf: file, encoding: .utf8)
    else { fatalError("unicode.txt is missing from the package's resources") }
    return UnicodeTables(text)
  }()

  /// - Parameter text: the content of unicode.txt, which is part of the program and so not doubted.
  init(_ text: String) {
    var items: [Substring: [Substring]] = [:]
    var classes: [UInt8: [Substring]] = [:]
    for line in text.split(separator: "\n") where !line.hasPrefix("#") {
      let words = line.split(separator: " ")
      if words[0] == "class" {
        classes[UInt8(words[1])!, default: []] += words[2...]
      } else {
        items[words[0], default: []] += words[1...]
      }
    }
    let points = { (name: Substring) in CodePoints(items[name]!) }
    dropped = points("dropped")
    whitespace = points("whitespace")
    ideographs = points("ideograph")
    nonspacing = points("nonspacing")
    punctuation = points("punctuation")
    self.classes = classes.map { (CodePoints($0.value), $0.key) }
    marks = CodePoints(classes.values.flatMap { $0 })
    decompositions = UnicodeTables.mappings(items["decompose"]!)
    lowerCase = UnicodeTables.mappings(items["lower"]!)
  }

  /// The canonical combining class.
  func combiningClass(_ point: UInt32) -> UInt8 {
    guard marks.contains(point) else { return 0 }
    return classes.first { $0.points.contains(point) }!.number
  }

  /// The full canonical decomposition; the code point itself where it has none.
  func decomposition(_ point: UInt32) -> [UInt32] {
    guard point >= 0xC0 else { return [point] }
    guard (0xAC00...0xD7A3).contains(point) else { return decompositions[point] ?? [point] }
    let place = point - 0xAC00
    let final = place % 28
    return [0x1100 + place / 588, 0x1161 + place % 588 / 28] + (final > 0 ? [0x11A7 + final] : [])
  }

  func lowerCase(_ point: UInt32) -> [UInt32] {
    lowerCase[point] ?? [point]
  }

  /// Items A=B.C, A:+D, A-B:+D and A-B/S:+D.
  private static func mappings(_ items: [Substring]) -> [UInt32: [UInt32]] {
    var mappings: [UInt32: [UInt32]] = [:]
    for item in items {
      if let equals = item.firstIndex(of: "=") {
        let parts = item[item.index(after: equals)...].split(separator: ".")
        mappings[hexadecimal(item[..<equals])] = parts.map(hexadecimal)
      } else {
        let parts = item.split(separator: ":")
        let steps = parts[0].split(separator: "/")
        let distance = Int(parts[1], radix: 16)!
        let range = closedRange(steps[0])
        let step = steps.count > 1 ? Int(steps[1])! : 1
        for point in stride(from: range.lowerBound, through: range.upperBound, by: step) {
          mappings[point] = [UInt32(Int(point) + distance)]
        }
      }
    }
    return mappings
  }
}

/// A set of code points, as ascending ranges.
struct CodePoints: Sendable {
  private let ranges: [ClosedRange<UInt32>]

  fileprivate init(_ items: [Substring]) {
    ranges = items.map(closedRange).sorted { $0.lowerBound < $1.lowerBound }
  }

  func contains(_ point: UInt32) -> Bool {
    var (first, last) = (0, ranges.count)
    while first < last {
      let middle = (first + last) / 2
      if ranges[middle].upperBound < point { first = middle + 1 } else { last = middle }
    }
    return first < ranges.count && ranges[first].contains(point)
  }
}

private func closedRange(_ item: Substring) -> ClosedRange<UInt32> {
  let ends = item.split(separator: "-").map(hexadecimal)
  return ends[0]...ends[ends.count - 1]
}

private func hexadecimal(_ digits: Substring) -> UInt32 {
  UInt32(digits, radix: 16)!
}
