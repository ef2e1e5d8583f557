import XCTest

@testable import PocketBench

/// The turns and their end, against what device_bench/protocol.py says of them.
final class TurnsTests: XCTestCase {
  /// Runs two programs on a clock that only they move, by so many nanoseconds each.
  private func turns(_ plan: Plan, passesOf: Int = 1, each nanoseconds: UInt64 = 0) throws -> (
    order: [String], kept: [[Int]], steps: [[Int]]
  ) {
    var (order, steps, now) = ([String](), [[Int]](), UInt64(0))
    let programs = ["a", "b"].map { name in
      { (run: Int) -> Int in
        order.append("\(name)\(run)")
        now += nanoseconds
        return run
      }
    }
    let kept = try inTurns(
      programs, plan: plan, passesOf: passesOf, clock: { now }, step: { steps.append([$0, $1]) })
    return (order, kept, steps)
  }

  func testAfterTheWarmUpRunsCountAnew() throws {
    let (order, kept, steps) = try turns(Plan(warmup: 2, runs: 3, seconds: 0))
    XCTAssertEqual(
      order, ["a0", "b0", "a1", "b1", "a0", "b0", "a1", "b1", "a2", "b2"])
    XCTAssertEqual(kept, [[0, 1, 2], [0, 1, 2]])
    XCTAssertEqual(steps, [[1, 5], [2, 5], [3, 5], [4, 5], [5, 5]])
  }

  func testItGoesOnForAsLongAsWasAsked() throws {
    // a round takes 2 ms, so 10 ms are five of them, though two were asked for
    let (_, kept, steps) = try turns(
      Plan(warmup: 0, runs: 2, seconds: 0.01), each: 1_000_000)
    XCTAssertEqual(kept.map(\.count), [5, 5])
    XCTAssertEqual(steps.map { $0[1] }, [5, 5, 5, 5, 5])
  }

  func testEveryQueryIsAskedEquallyOften() throws {
    let (_, kept, _) = try turns(Plan(warmup: 1, runs: 4, seconds: 0), passesOf: 3)
    XCTAssertEqual(kept.map(\.count), [6, 6])
  }

  func testAFailureEndsIt() {
    XCTAssertThrowsError(
      try inTurns(
        [{ (run: Int) throws -> Int in throw BenchFailed("run \(run)") }], plan: .standard,
        passesOf: 1, clock: { 0 }, step: { _, _ in })
    ) { XCTAssertEqual("\($0)", "run 0") }
  }
}

final class BenchArgumentsTests: XCTestCase {
  private let asked = """
    /app/Pocket --bench --bundle bench-1/candidate-0 --baselines bench-1/baseline-1,bench-1/peak-2 \
    --queries bench-1/queries --source fixed:128 --threads 1 --warmup 5 --runs 50 --seconds 10 \
    --units cpu-and-ne --result bench-1/measurement.json
    """.split(separator: " ").map(String.init)

  func testWhatDeviceBenchAsks() throws {
    let arguments = try BenchArguments(asked)
    XCTAssertEqual(
      arguments.bundles, ["bench-1/candidate-0", "bench-1/baseline-1", "bench-1/peak-2"])
    XCTAssertEqual(arguments.plan, .standard)
    XCTAssertEqual(arguments.units, .cpuAndNeuralEngine)
    XCTAssertEqual(arguments.folders, ["bench-1"])
    XCTAssertTrue(HeadlessBench.isAsked(asked))
    XCTAssertFalse(HeadlessBench.isAsked(["/app/Pocket"]))
  }

  func testWhatItRefuses() throws {
    let wrong = [
      ("--units", "gpu", "--units gpu is none of cpu-only, cpu-and-ne, all"),
      ("--runs", "0", "--runs 0 is no whole number from 1 on"),
      ("--seconds", "nan", "--seconds nan is no number from 0 on"),
      ("--result", "../measurement.json", "../measurement.json is outside of the app's documents"),
      ("--queries", "/etc/passwd", "/etc/passwd is outside of the app's documents"),
    ]
    for (name, value, sentence) in wrong {
      var changed = asked
      changed[try XCTUnwrap(changed.firstIndex(of: name)) + 1] = value
      XCTAssertThrowsError(try BenchArguments(changed)) { XCTAssertEqual("\($0)", sentence) }
    }
    XCTAssertThrowsError(try BenchArguments(asked + ["--what"])) {
      XCTAssertEqual("\($0)", "--what has no value")
    }
    XCTAssertThrowsError(try BenchArguments(asked + ["--what", "for"])) {
      XCTAssertEqual("\($0)", "--what is no argument of --bench")
    }
    XCTAssertThrowsError(try BenchArguments(Array(asked.dropLast(2)))) {
      XCTAssertEqual("\($0)", "--result is missing")
    }
  }
}

final class DistributionTests: XCTestCase {
  /// numpy.quantile([1, 2, 4, 8, 16], [0, .5, .9, .99, 1]) = [1, 4, 12.8, 15.68, 16]
  func testPercentiles() {
    let samples = Distribution([16, 1, 8, 2, 4].map { $0 * 1_000_000 })
    let found = [0, 0.5, 0.9, 0.99, 1].map(samples.milliseconds(at:))
    for (got, wanted) in zip(found, [1, 4, 12.8, 15.68, 16]) {
      XCTAssertEqual(got, wanted, accuracy: 1e-9)
    }
    XCTAssertEqual(samples.bins(3).map(\.count), [3, 1, 1])
    XCTAssertEqual(Distribution([5, 5]).bins(4).map(\.count).reduce(0, +), 2)
  }

  /// At 10 tokens 1 and 3 (mean 2, deviation √2), at 20 twice 7: √((0.5 + 0) / 2).
  func testVariationIsOfOneLength() throws {
    let found = try XCTUnwrap(variationWithinLengths([1, 7, 3, 7], [10, 20, 10, 20]))
    XCTAssertEqual(found, 0.5, accuracy: 1e-12)
    XCTAssertNil(variationWithinLengths([1, 7], [10, 20]))
  }
}
