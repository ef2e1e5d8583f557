import Foundation

/// The system that this runs on.
public enum System {
  /// "iOS 17.4"; an iPad's system is called iOS here, too.
  public static var name: String {
    let version = ProcessInfo.processInfo.operatingSystemVersion
    return "\(family) \(version.majorVersion).\(version.minorVersion)"
  }

  #if os(iOS)
    private static let family = "iOS"
  #elseif os(macOS)
    private static let family = "macOS"
  #else
    private static let family = "Linux"
  #endif
}
