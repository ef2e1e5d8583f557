/// How much is measured: `warmup` rounds that are not kept, then at least `runs` and at least `seconds`.
public struct Plan: Sendable, Equatable {
  public var warmup: Int
  public var runs: Int
  public var seconds: Double

  public init(warmup: Int, runs: Int, seconds: Double) {
    self.warmup = warmup
    self.runs = runs
    self.seconds = seconds
  }

  /// What `device_bench` calls the standard mode.
  public static let standard = Plan(warmup: 5, runs: 50, seconds: 10)

  var isLong: Bool { runs >= 1024 && seconds >= 60 }

  /// How much of what it asks for is there, 0 to 1, so long after the warm-up.
  func share(runs done: Int, nanoseconds passed: UInt64) -> Double {
    let byTime = seconds > 0 ? Double(passed) / (seconds * 1e9) : 1
    return min(1, Double(done) / Double(runs), byTime)
  }
}

/// Runs every program once a round, A B C A B C, until the plan has what it asks for.
///
/// A phone that throttles then slows all of them, and ratios taken within a round stay true. The stopping rule is
/// that of `device_bench.protocol.in_turns`.
///
/// - Parameters:
///   - programs: called with the number of their run, which starts anew at 0 after the warm-up.
///   - passesOf: runs come in whole passes of so many, so that each query of a list is asked equally often.
///   - clock: nanoseconds, monotonic.
///   - step: hears of every finished round and of how many there will be, as far as is known.
/// - Returns: what each kept run gave, a list a program.
func inTurns<Outcome>(
  _ programs: [(Int) throws -> Outcome], plan: Plan, passesOf: Int, clock: () -> UInt64,
  step: (_ done: Int, _ total: Int) throws -> Void
) throws -> [[Outcome]] {
  for round in 0..<plan.warmup {
    for program in programs { _ = try program(round) }
    try step(round + 1, plan.warmup + plan.runs)
  }
  var kept = [[Outcome]](repeating: [], count: programs.count)
  let began = clock()
  var (done, share) = (0, 0.0)
  while share < 1 || done % passesOf != 0 {
    for (place, program) in programs.enumerated() { kept[place].append(try program(done)) }
    done += 1
    share = plan.share(runs: done, nanoseconds: clock() - began)
    let expected = share > 0 ? Int((Double(done) / share).rounded(.up)) : plan.runs
    try step(plan.warmup + done, plan.warmup + max(done, expected))
  }
  return kept
}
