import Foundation
import PocketBundle

/// The benchmark mode that `device_bench` starts the app in; apps/README.md describes it.
public struct HeadlessBench: Sendable {
  private let documents: URL
  private let device: Device
  private let load: Loader
  private let say: @Sendable (String) -> Void
  private let pause: Duration

  /// - Parameters:
  ///   - documents: what the arguments' paths are relative to.
  ///   - say: a line for whoever started the app; it must not be kept in a buffer.
  ///   - pause: between two lines of progress; ten seconds are the longest that is agreed on.
  public init(
    documents: URL, device: Device, load: @escaping Loader, pause: Duration = .seconds(2),
    say: @escaping @Sendable (String) -> Void
  ) {
    self.documents = documents
    self.device = device
    self.load = load
    self.pause = pause
    self.say = say
  }

  /// Whether an app was started in this mode.
  public static func isAsked(_ arguments: [String]) -> Bool {
    arguments.contains(BenchArguments.flag)
  }

  /// Removes what earlier measurements have left; `devicectl` can delete nothing from a phone.
  public static func clean(_ documents: URL, but kept: Set<String> = []) {
    let names = try? FileManager.default.contentsOfDirectory(atPath: documents.path)
    for name in names ?? [] where name.hasPrefix("bench-") && !kept.contains(name) {
      try? FileManager.default.removeItem(at: documents.appendingPathComponent(name))
    }
  }

  /// Measures, and writes the result.
  ///
  /// - Returns: the exit code: 0 where the result is there, whole.
  public func run(_ arguments: [String]) async -> Int32 {
    do {
      let asked = try BenchArguments(arguments)
      HeadlessBench.clean(documents, but: asked.folders)
      defer { removeBundles(asked) }
      let command = arguments.dropFirst().joined(separator: " ")
      let data = try await measurement(asked, command: command).json()
      try data.write(to: documents.appendingPathComponent(asked.result), options: .atomic)
    } catch {
      let why = (error as? any LocalizedError)?.errorDescription ?? error.localizedDescription
      say(#"{"bench": "failed", "why": \#(JSON.string(why).canonical)}"#)
      return 1
    }
    say(#"{"bench": "done"}"#)
    return 0
  }

  private func measurement(_ asked: BenchArguments, command: String) async throws
    -> DeviceMeasurement
  {
    let rounds = Rounds()
    let (say, pause) = (say, pause)
    let heartbeat = Task {
      while !Task.isCancelled {
        let (done, total) = rounds.now
        say(#"{"bench": "progress", "done": \#(done), "total": \#(total)}"#)
        try? await Task.sleep(for: pause)
      }
    }
    defer { heartbeat.cancel() }
    let benchmark = try Benchmark(
      contenders: asked.bundles.map { try Contender(documents.appendingPathComponent($0)) },
      queries: Queries(
        contentsOf: documents.appendingPathComponent(asked.queries), source: asked.source),
      plan: asked.plan, threads: asked.threads, units: asked.units, command: command)
    return try await benchmark.run(on: device, load: load) { rounds.set($0, of: $1) }
  }

  private func removeBundles(_ asked: BenchArguments) {
    for bundle in asked.bundles {
      try? FileManager.default.removeItem(at: documents.appendingPathComponent(bundle))
    }
  }
}
