import Foundation
import PocketBench
import PocketEngine
import UIKit

extension Device {
  /// This phone, tablet or simulator.
  @MainActor static var current: Device {
    let version = Bundle.main.object(forInfoDictionaryKey: "CFBundleShortVersionString")
    return Device(
      place: Place(
        kind: kind, name: model, processor: "Apple, in \(model)",
        cores: ProcessInfo.processInfo.activeProcessorCount, system: System.name),
      app: "Pocket \(version as? String ?? "of no version")",
      state: { await state() },
      peakBytes: peakBytes)
  }

  /// iPhone16,1; device_bench knows its name.
  private static var model: String {
    if let simulated = ProcessInfo.processInfo.environment["SIMULATOR_MODEL_IDENTIFIER"] {
      return simulated
    }
    var system = utsname()
    uname(&system)
    return withUnsafeBytes(of: system.machine) { machine in
      String(decoding: machine.prefix { $0 != 0 }, as: UTF8.self)
    }
  }

  #if targetEnvironment(simulator)
    private static let kind = Place.Kind.iosSimulator
  #else
    private static let kind = Place.Kind.ios
  #endif

  @MainActor private static func state() -> DeviceState {
    let device = UIDevice.current
    device.isBatteryMonitoringEnabled = true
    defer { device.isBatteryMonitoringEnabled = false }
    let isKnown = device.batteryState != .unknown
    return DeviceState(
      thermal: thermal, batteryPercent: isKnown ? Double(device.batteryLevel) * 100 : nil,
      charging: isKnown ? device.batteryState != .unplugged : nil)
  }

  private static var thermal: String {
    switch ProcessInfo.processInfo.thermalState {
    case .nominal: "nominal"
    case .fair: "fair"
    case .serious: "serious"
    case .critical: "critical"
    @unknown default: "unknown"
    }
  }

  /// The most that was resident, the figure that device_bench has of every other device, in bytes here.
  @Sendable private static func peakBytes() -> Int? {
    var usage = rusage()
    guard getrusage(RUSAGE_SELF, &usage) == 0 else { return nil }
    return usage.ru_maxrss
  }
}
