/// A code point after normalization, and which code point of the original text it stands for.
struct Letter {
  var point: UInt32
  var origin: Int
}

/// BERT's normalization: cleaning, ideographs apart, accents removed, lower case, each where it is asked for.
struct Normalizer: Sendable {
  let cleansText: Bool
  let separatesIdeographs: Bool
  let stripsAccents: Bool
  let lowercases: Bool
  private let tables = UnicodeTables.shared

  init(cleansText: Bool, separatesIdeographs: Bool, stripsAccents: Bool, lowercases: Bool) {
    self.cleansText = cleansText
    self.separatesIdeographs = separatesIdeographs
    self.stripsAccents = stripsAccents
    self.lowercases = lowercases
  }

  func normalize(_ letters: [Letter]) -> [Letter] {
    var letters = letters
    if cleansText { letters = cleansed(letters) }
    if separatesIdeographs { letters = letters.flatMap(separated) }
    if stripsAccents {
      letters = decomposed(letters).filter { !tables.nonspacing.contains($0.point) }
    }
    if lowercases {
      letters = letters.flatMap { letter in
        tables.lowerCase(letter.point).map { Letter(point: $0, origin: letter.origin) }
      }
    }
    return letters
  }

  /// Words and punctuation marks: what stands between white space, and every mark by itself.
  func words(_ letters: [Letter]) -> [ArraySlice<Letter>] {
    var words: [ArraySlice<Letter>] = []
    for run in letters.split(whereSeparator: { tables.whitespace.contains($0.point) }) {
      var first = run.startIndex
      for place in run.indices where tables.punctuation.contains(run[place].point) {
        if first < place { words.append(run[first..<place]) }
        words.append(run[place...place])
        first = place + 1
      }
      if first < run.endIndex { words.append(run[first...]) }
    }
    return words
  }

  private func cleansed(_ letters: [Letter]) -> [Letter] {
    letters.compactMap { letter in
      if tables.dropped.contains(letter.point) { return nil }
      let isSpace = tables.whitespace.contains(letter.point)
      return Letter(point: isSpace ? 0x20 : letter.point, origin: letter.origin)
    }
  }

  private func separated(_ letter: Letter) -> [Letter] {
    guard tables.ideographs.contains(letter.point) else { return [letter] }
    let space = Letter(point: 0x20, origin: letter.origin)
    return [space, letter, space]
  }

  /// Canonical decomposition, marks in canonical order.
  ///
  /// Origins follow the library: the first part of each code point takes the place of the next original, and
  /// further parts stay with the original before, in the order after sorting.
  private func decomposed(_ letters: [Letter]) -> [Letter] {
    var parts: [(point: UInt32, mark: UInt8, isFirst: Bool)] = []
    var marks = 0
    for letter in letters {
      for (place, point) in tables.decomposition(letter.point).enumerated() {
        let mark = tables.combiningClass(point)
        var at = parts.count
        while mark > 0, at > parts.count - marks, parts[at - 1].mark > mark { at -= 1 }
        parts.insert((point, mark, place == 0), at: at)
        marks = mark > 0 ? marks + 1 : 0
      }
    }
    var next = 0
    return parts.map { part in
      if part.isFirst { next += 1 }
      return Letter(point: part.point, origin: letters[max(next - 1, 0)].origin)
    }
  }
}
