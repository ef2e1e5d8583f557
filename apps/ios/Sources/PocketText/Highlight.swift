extension String {
  /// Code points [lower, upper) as indices of this string, for highlighting an answer in its passage.
  ///
  /// A code point is no character: an answer may begin inside of an emoji of several code points.
  public func indices(ofCodePoints range: Range<Int>) -> Range<String.Index> {
    let lower = unicodeScalars.index(startIndex, offsetBy: range.lowerBound)
    let upper = unicodeScalars.index(lower, offsetBy: range.count)
    return lower..<upper
  }
}
