import Foundation
import PocketBench
import PocketEngine
import SwiftUI
import UIKit

/// The screen of the benchmark mode: it says that the device is busy, and keeps it awake.
struct HeadlessBenchView: View {
  var body: some View {
    ProgressView("Measuring; please leave the device alone")
      .padding()
      .task {
        UIApplication.shared.isIdleTimerDisabled = true
        let cache = URL.temporaryDirectory.appendingPathComponent("bench-models")
        let bench = HeadlessBench(
          documents: .documentsDirectory, device: .current,
          load: { bundle, units in try await load(bundle, units: units, cache: cache) },
          say: { line in FileHandle.standardOutput.write(Data("\(line)\n".utf8)) })
        let code = await bench.run(CommandLine.arguments)
        try? FileManager.default.removeItem(at: cache)
        exit(code)
      }
  }
}
