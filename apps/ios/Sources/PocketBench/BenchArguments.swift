import PocketEngine

/// What `device_bench` starts the app with; apps/README.md says what each argument means.
///
/// Paths are relative to the app's documents.
struct BenchArguments: Equatable {
  static let flag = "--bench"

  let bundles: [String]
  let queries: String
  let source: String
  let threads: Int
  let plan: Plan
  let units: ComputeUnits
  let result: String

  /// - Parameter arguments: the process's, with or without its own path in front.
  /// - Throws: `BenchFailed` that names the first argument that is missing, unknown or no such value.
  init(_ arguments: [String]) throws {
    var given = try Self.pairs(arguments)
    let needed = { (name: String) throws -> String in
      guard let value = given.removeValue(forKey: name) else {
        throw BenchFailed("\(name) is missing")
      }
      return value
    }
    let baselines = given.removeValue(forKey: "--baselines")?.split(separator: ",") ?? []
    bundles = [try needed("--bundle")] + baselines.map(String.init)
    queries = try needed("--queries")
    source = try needed("--source")
    threads = try Self.whole("--threads", try needed("--threads"), from: 1)
    plan = Plan(
      warmup: try Self.whole("--warmup", try needed("--warmup"), from: 0),
      runs: try Self.whole("--runs", try needed("--runs"), from: 1),
      seconds: try Self.seconds(try needed("--seconds")))
    let units = try needed("--units")
    guard let known = ComputeUnits(rawValue: units) else {
      let all = ComputeUnits.allCases.map(\.rawValue).joined(separator: ", ")
      throw BenchFailed("--units \(units) is none of \(all)")
    }
    self.units = known
    result = try needed("--result")
    if let unknown = given.keys.min() { throw BenchFailed("\(unknown) is no argument of --bench") }
    for path in bundles + [queries, result] where !Self.staysInside(path) {
      throw BenchFailed("\(path) is outside of the app's documents")
    }
  }

  /// The folders in the documents that these arguments speak of.
  var folders: Set<String> {
    let paths = bundles + [queries, result]
    return Set(paths.compactMap { $0.split(separator: "/").first }.map(String.init))
  }

  private static func pairs(_ arguments: [String]) throws -> [String: String] {
    guard let first = arguments.firstIndex(of: flag) else {
      throw BenchFailed("\(flag) is missing")
    }
    var rest = arguments[(first + 1)...]
    var pairs: [String: String] = [:]
    while let name = rest.popFirst() {
      guard name.hasPrefix("--"), let value = rest.popFirst() else {
        throw BenchFailed("\(name) has no value")
      }
      pairs[name] = value
    }
    return pairs
  }

  private static func whole(_ name: String, _ text: String, from least: Int) throws -> Int {
    guard let number = Int(text), number >= least else {
      throw BenchFailed("\(name) \(text) is no whole number from \(least) on")
    }
    return number
  }

  private static func seconds(_ text: String) throws -> Double {
    guard let seconds = Double(text), seconds.isFinite, seconds >= 0 else {
      throw BenchFailed("--seconds \(text) is no number from 0 on")
    }
    return seconds
  }

  private static func staysInside(_ path: String) -> Bool {
    !path.hasPrefix("/") && !path.split(separator: "/").contains("..")
  }
}
