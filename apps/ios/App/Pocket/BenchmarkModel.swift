import Foundation
import Observation
import PocketBench
import PocketEngine
import UIKit

/// One measurement of the app's own model, and its file for sharing.
@MainActor
@Observable
final class BenchmarkModel {
  enum State {
    case idle
    case running(Rounds)
    case done(DeviceMeasurement, file: URL)
    case failed(String)
  }

  private(set) var state = State.idle
  private var task: Task<Void, Never>?

  func start(_ answerer: QuestionAnswerer, length: Int, units: ComputeUnits) {
    let rounds = Rounds()
    state = .running(rounds)
    UIApplication.shared.isIdleTimerDisabled = true
    task = Task {
      defer { UIApplication.shared.isIdleTimerDisabled = false }
      do {
        let benchmark = try Benchmark(
          contenders: [Contender(role: "candidate", bundle: answerer.bundle)],
          queries: .fixed(length, for: answerer.bundle), units: units, command: "benchmark screen")
        let device = Device.current
        let measured = try await benchmark.run(
          on: device,
          load: { bundle, units in
            try await load(bundle, units: units, cache: ModelStore.cache)
          },
          step: { rounds.set($0, of: $1) })
        let file = URL.documentsDirectory.appendingPathComponent("measurement.json")
        try measured.json().write(to: file, options: .atomic)
        state = .done(measured, file: file)
        announce("The measurement is done")
      } catch is CancellationError {
        state = .idle
      } catch {
        state = .failed(sentence(of: error))
        announce(sentence(of: error))
      }
    }
  }

  func cancel() {
    task?.cancel()
  }
}
