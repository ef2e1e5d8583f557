import Foundation
import PocketBundle
import PocketEngine
import PocketText

/// What is asked of a device: which contenders, which windows, how often.
public struct Benchmark: Sendable {
  public let contenders: [Contender]
  public let queries: Queries
  public let plan: Plan
  public let threads: Int
  public let units: ComputeUnits
  /// What was typed, or tapped; measurements name it.
  public let command: String

  /// - Parameter contenders: the candidate first.
  /// - Throws: `BenchFailed` where a baseline would run a window at another length than the candidate.
  public init(
    contenders: [Contender], queries: Queries, plan: Plan = .standard, threads: Int = 1,
    units: ComputeUnits = .all, command: String
  ) throws {
    self.contenders = contenders
    self.queries = queries
    self.plan = plan
    self.threads = threads
    self.units = units
    self.command = command
    try checkLengths()
  }

  private func checkLengths() throws {
    for window in queries.windows {
      let inputs = try contenders.map { try ProgramInput(window, for: $0.bundle) }
      let length = inputs[0].ids.count
      if queries.source.hasPrefix("fixed:"), length != window.count {
        throw BenchFailed(
          "\(contenders[0].bundle.name) does not run at exactly \(window.count) tokens")
      }
      for (contender, input) in zip(contenders, inputs)
      where contender.role == "baseline" && input.ids.count != length {
        throw BenchFailed(
          "\(window.count) tokens run at \(length) in \(contenders[0].bundle.name) and at "
            + "\(input.ids.count) in \(contender.bundle.name): no pair; "
            + "give a baseline of the same lengths")
      }
    }
  }
}

/// What only the device itself can tell.
public struct Device: Sendable {
  public let place: Place
  /// The app's name and version.
  public let app: String
  public let state: @Sendable () async -> DeviceState
  /// The most memory that the process has held so far.
  public let peakBytes: @Sendable () -> Int?

  public init(
    place: Place, app: String, state: @escaping @Sendable () async -> DeviceState,
    peakBytes: @escaping @Sendable () -> Int?
  ) {
    self.place = place
    self.app = app
    self.state = state
    self.peakBytes = peakBytes
  }
}

/// Loads a bundle's program; `PocketEngine.load` with a cache folder.
public typealias Loader = @Sendable (ModelBundle, ComputeUnits) async throws -> sending
  LoadedProgram

extension Benchmark {
  /// Runs the contenders in turns, batch 1, on the thread that it is called on, which must not be the main one.
  ///
  /// - Parameter step: hears of every finished round, outside of the times.
  /// - Throws: `ProgramFailed`, what the runtime throws, or `CancellationError`: part of a measurement is none.
  public func run(
    on device: Device, load: Loader, step: @Sendable (_ done: Int, _ total: Int) -> Void
  ) async throws -> DeviceMeasurement {
    let before = await device.state()
    var runners: [Runner] = []
    for contender in contenders {
      runners.append(try await Runner(contender, self, load))
    }
    let times = try inTurns(
      runners.map { runner in { run in try runner.time(run) } }, plan: plan,
      passesOf: queries.areVaried ? queries.windows.count : 1,
      clock: { DispatchTime.now().uptimeNanoseconds },
      step: { done, total in
        try Task.checkCancellation()
        step(done, total)
      })
    // the process's: it belongs to a program only where that is the only one
    let peak = contenders.count == 1 ? device.peakBytes() : nil
    let after = await device.state()
    let texts = try TextTimes(contenders[0].bundle)
    let programs = zip(runners, times).enumerated().map { place, timed in
      timed.0.measured(timed.1, peak: peak, texts: place == 0 ? texts : nil)
    }
    return DeviceMeasurement(
      place: device.place, before: before, after: after,
      protocol: MeasurementProtocol(plan, queries: queries, threads: threads), programs: programs,
      validity: Validity(plan, programs, before: before, after: after),
      made: Made(app: device.app, command: command))
  }
}

/// One contender's program, loaded and run once.
private struct Runner {
  private let contender: Contender
  private let benchmark: Benchmark
  private let loaded: LoadedProgram
  private let inputs: [ProgramInput]
  private var first: UInt64 = 0

  init(_ contender: Contender, _ benchmark: Benchmark, _ load: Loader) async throws {
    self.contender = contender
    self.benchmark = benchmark
    inputs = try benchmark.queries.windows.map { try ProgramInput($0, for: contender.bundle) }
    loaded = try await load(contender.bundle, benchmark.units)
    first = try time(0)
  }

  /// Nanoseconds of one run.
  func time(_ run: Int) throws -> UInt64 {
    let input = inputs[run % inputs.count]
    let began = DispatchTime.now().uptimeNanoseconds
    _ = try loaded.program.logits(of: input)
    return max(1, DispatchTime.now().uptimeNanoseconds - began)
  }

  func measured(_ samples: [UInt64], peak: Int?, texts: TextTimes?) -> MeasuredProgram {
    let bundle = contender.bundle
    let lengths = samples.indices.map { inputs[$0 % inputs.count].ids.count }
    let delegate = loaded.delegate
    return MeasuredProgram(
      role: contender.role, name: bundle.name, target: bundle.target,
      precision: contender.precision, randomWeights: bundle.hasRandomWeights,
      parameters: bundle.parameters, bundleSeal: bundle.seal,
      programSha256: contender.programSha256, runtime: loaded.program.runtime,
      threads: Wish(asked: String(benchmark.threads), got: nil),
      delegate: Wish(asked: delegate, got: loaded.delegateIsKnown ? delegate : nil),
      computeUnit: bundle.target == "coreml"
        ? Wish(asked: benchmark.units.rawValue, got: loaded.unitsGot) : nil,
      footprint: contender.footprint, loadNs: [loaded.loadNanoseconds], firstNs: [first],
      samplesNs: samples, lengths: lengths, tokenizeNs: texts?.tokenizing ?? [],
      decodeNs: texts?.decoding ?? [], peakResidentBytes: peak,
      multiplyAdds: contender.multiplyAdds(lengths))
  }
}
