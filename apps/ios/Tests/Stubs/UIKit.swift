import Foundation

@MainActor public class UIApplication {
  public class var shared: UIApplication { UIApplication() }
  public var isIdleTimerDisabled = false
}

@MainActor public class UIDevice {
  public class var current: UIDevice { UIDevice() }
  public var isBatteryMonitoringEnabled = false
  public var batteryLevel: Float { -1 }
  public var batteryState: BatteryState { .unknown }

  public enum BatteryState { case unknown, unplugged, charging, full }
}

// Foundation has these on Apple's systems only.
extension URL {
  public static var cachesDirectory: URL { temporaryDirectory }
  public static var documentsDirectory: URL { temporaryDirectory }
}

// A number there, an enumeration on Linux.
// swift-format-ignore: AlwaysUseLowerCamelCase
public let RUSAGE_SELF: Int32 = 0

extension ProcessInfo {
  public enum ThermalState { case nominal, fair, serious, critical }
  public var thermalState: ThermalState { .nominal }
}
