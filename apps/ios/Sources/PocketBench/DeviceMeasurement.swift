import Foundation

/// measurement.json, as device_bench/measurement.schema.json describes it. Times are nanoseconds, sizes bytes.
public struct DeviceMeasurement: Sendable, Encodable {
  public let format = 1
  public let place: Place
  public let before: DeviceState
  public let after: DeviceState
  public let `protocol`: MeasurementProtocol
  public let programs: [MeasuredProgram]
  public let validity: Validity
  public let made: Made

  /// Sorted keys, one file for one measurement.
  public func json() throws -> Data {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    return try encoder.encode(self)
  }
}

/// The device.
public struct Place: Sendable, Encodable {
  public enum Kind: String, Sendable, Encodable {
    case ios
    case iosSimulator = "ios-simulator"
  }

  public let kind: Kind
  public let name: String
  public let emulated = false
  /// A simulator computes on the Mac's processor and has no Neural Engine.
  public let trendOnly: Bool
  public let processor: String
  public let cores: Int
  public let system: String

  public init(kind: Kind, name: String, processor: String, cores: Int, system: String) {
    self.kind = kind
    trendOnly = kind == .iosSimulator
    self.name = name
    self.processor = processor
    self.cores = cores
    self.system = system
  }
}

/// What may disturb a measurement; nil where the device does not tell.
public struct DeviceState: Sendable, Encodable {
  /// The system's own word: nominal, fair, serious, critical.
  public let thermal: String?
  public let batteryPercent: Double?
  public let charging: Bool?

  public init(thermal: String?, batteryPercent: Double?, charging: Bool?) {
    self.thermal = thermal
    self.batteryPercent = batteryPercent
    self.charging = charging
  }
}

public struct MeasurementProtocol: Sendable, Encodable {
  public let metric = "latency"
  public let mode: String
  public let warmup: Int
  public let runs: Int
  public let seconds: Double
  public let queries: String
  public let threads: Int
  public let interleaved = true
  public let processes = "app"

  init(_ plan: Plan, queries: Queries, threads: Int) {
    mode = plan.isLong ? "long" : "standard"
    warmup = plan.warmup
    runs = plan.runs
    seconds = plan.seconds
    self.queries = queries.source
    self.threads = threads
  }
}

/// Something asked for, and what the runtime then did; nil where it does not tell.
public struct Wish: Sendable, Encodable {
  public let asked: String
  public let got: String?

  enum CodingKeys: CodingKey { case asked, got }

  /// With `got` even where it is nil: the schema wants it said.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(asked, forKey: .asked)
    try container.encode(got, forKey: .got)
  }
}

public struct Footprint: Sendable, Encodable {
  public let programBytes: Int
  public let bundleBytes: Int
}

/// One program on the device.
public struct MeasuredProgram: Sendable, Encodable {
  public let role: String
  public let name: String
  public let target: String
  public let precision: String
  public let randomWeights: Bool
  public let parameters: Int?
  public let bundleSeal: String
  public let programSha256: String
  public let runner = "app"
  public let runtime: String
  public let threads: Wish
  public let delegate: Wish
  public let computeUnit: Wish?
  public let footprint: Footprint
  public let loadNs: [UInt64]
  public let firstNs: [UInt64]
  public let samplesNs: [UInt64]
  /// Tokens of each run's window, padding included.
  public let lengths: [Int]
  public let tokenizeNs: [UInt64]
  public let decodeNs: [UInt64]
  public let peakResidentBytes: Int?
  public let multiplyAdds: Int?
}

public struct Made: Sendable, Encodable {
  public let time: String
  public let app: String
  public let command: String

  init(app: String, command: String) {
    time = Date.now.formatted(.iso8601)
    self.app = app
    self.command = command
  }
}
