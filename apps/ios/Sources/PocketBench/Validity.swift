/// Whether figures may be used, and if not, why: a sentence each.
///
/// The limits are those of device_bench/validity.py, which judges again and adds what only it can see: how well the
/// ratio of two programs is known.
public struct Validity: Sendable, Encodable, Equatable {
  public let valid: Bool
  public let reasons: [String]

  static let (leastWarmup, leastRuns, leastSeconds) = (5, 50, 10.0)
  /// Of times at one length. A phone's benchmark was once found too noisy to gate on at 0.275.
  static let greatestVariation = 0.25
  /// Thermal states in which Apple does not slow a foreground app noticeably.
  static let cool = ["nominal", "fair"]

  init(_ plan: Plan, _ programs: [MeasuredProgram], before: DeviceState, after: DeviceState) {
    var reasons: [String] = []
    if plan.warmup < Validity.leastWarmup {
      reasons.append("\(plan.warmup) warm-up runs; \(Validity.leastWarmup) are the least")
    }
    if plan.seconds < Validity.leastSeconds {
      reasons.append(
        "asked for \(short(plan.seconds)) s; \(short(Validity.leastSeconds)) s are the least")
    }
    let least = max(plan.runs, Validity.leastRuns)
    for program in programs where program.samplesNs.count < least {
      reasons.append(
        "\(program.title) has \(program.samplesNs.count) samples; \(least) are the least")
    }
    for program in programs {
      if let wish = program.computeUnit, let got = wish.got, !["all", got].contains(wish.asked) {
        reasons.append(
          "\(program.title) ran on \(got) where the compute unit asked for was \(wish.asked)")
      }
      let spread = variationWithinLengths(program.samplesNs, program.lengths)
      if let spread, spread > Validity.greatestVariation {
        reasons.append(
          "\(program.title): times of one length vary by \(percent(spread)) (coefficient of variation; "
            + "\(percent(Validity.greatestVariation)) is the most)")
      }
    }
    for (when, state) in [("before", before), ("after", after)] {
      if let thermal = state.thermal, !Validity.cool.contains(thermal) {
        reasons.append("the device's thermal state was \(thermal) \(when) the measurement")
      }
    }
    self.reasons = reasons
    valid = reasons.isEmpty
  }
}

extension MeasuredProgram {
  var title: String { "\(name) \(precision)" }
}

private func percent(_ share: Double) -> String {
  "\(Int((share * 100).rounded(.toNearestOrEven)))%"
}

/// 10 for 10.0, as Python's :g writes it.
private func short(_ number: Double) -> String {
  number == number.rounded() ? String(Int(number)) : String(number)
}
