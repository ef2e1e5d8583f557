import Foundation

/// What raw samples say. Nothing is dropped as an outlier.
public struct Distribution: Sendable, Equatable {
  private let sorted: [UInt64]

  /// - Parameter nanoseconds: at least one sample.
  public init(_ nanoseconds: [UInt64]) {
    sorted = nanoseconds.sorted()
  }

  public var count: Int { sorted.count }
  public var medianMilliseconds: Double { milliseconds(at: 0.5) }

  /// The value below which that share of the samples lies, linear between neighbours (Hyndman's type 7).
  public func milliseconds(at share: Double) -> Double {
    let place = share * Double(sorted.count - 1)
    let below = Int(place)
    let above = min(below + 1, sorted.count - 1)
    let part = place - Double(below)
    return (Double(sorted[below]) * (1 - part) + Double(sorted[above]) * part) / 1e6
  }

  /// Samples counted in so many equal steps between the least and the greatest.
  public func bins(_ count: Int) -> [Bin] {
    let (least, greatest) = (milliseconds(at: 0), milliseconds(at: 1))
    let width = max((greatest - least) / Double(count), 1e-6)
    var counts = [Int](repeating: 0, count: count)
    for sample in sorted {
      counts[min(Int((Double(sample) / 1e6 - least) / width), count - 1)] += 1
    }
    return counts.enumerated().map { place, counted in
      let lower = least + Double(place) * width
      return Bin(lower: lower, upper: lower + width, count: counted)
    }
  }

  /// Milliseconds [lower, upper), and how many samples lie there.
  public struct Bin: Sendable, Equatable {
    public let lower: Double
    public let upper: Double
    public let count: Int
  }
}

/// The coefficient of variation at one length, pooled over lengths as the root of the mean square, weighted by
/// degrees of freedom; nil where no length came twice.
func variationWithinLengths(_ samples: [UInt64], _ lengths: [Int]) -> Double? {
  let groups = Dictionary(grouping: zip(lengths, samples), by: \.0).values
    .map { group in group.map { Double($0.1) } }.filter { $0.count > 1 }
  guard !groups.isEmpty else { return nil }
  var (squares, freedom) = (0.0, 0.0)
  for group in groups {
    let mean = group.reduce(0, +) / Double(group.count)
    let sum = group.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
    squares += sum / (mean * mean)
    freedom += Double(group.count - 1)
  }
  return (squares / freedom).squareRoot()
}
