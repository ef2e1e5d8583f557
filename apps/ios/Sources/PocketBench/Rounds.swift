import Foundation

/// How far a measurement is: set by the thread that measures, read by whoever shows it.
public final class Rounds: @unchecked Sendable {
  private let lock = NSLock()
  private var rounds = (done: 0, total: 1)

  public init() {}

  public var now: (done: Int, total: Int) { lock.withLock { rounds } }

  /// 0 to 1.
  public var share: Double {
    let (done, total) = now
    return min(1, Double(done) / Double(max(total, 1)))
  }

  public func set(_ done: Int, of total: Int) {
    lock.withLock { rounds = (done, total) }
  }
}
