// pocket-replay BUNDLE [cpu-only|cpu-and-ne|all]: on a Mac, a bundle's golden cases through this package and Core ML.
// Exit code 1 where a case comes out differently.

import Foundation
import PocketBundle
import PocketEngine

let arguments = CommandLine.arguments.dropFirst()
guard let folder = arguments.first,
  let units = ComputeUnits(rawValue: arguments.dropFirst().first ?? "all")
else {
  FileHandle.standardError.write(
    Data("usage: pocket-replay BUNDLE [cpu-only|cpu-and-ne|all]\n".utf8))
  exit(2)
}
let cache = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
do {
  let bundle = try ModelBundle(folder: URL(fileURLWithPath: folder), wanted: .questionAnswering)
  let program = try await load(bundle, units: units, cache: cache).program
  let replay = try GoldenReplay(bundle, with: program)
  for mismatch in replay.mismatches { print(mismatch) }
  print(
    "\(bundle.name) in \(program.runtime) (\(units.rawValue)): \(replay.cases) cases, "
      + "\(replay.mismatches.count) mismatches, logits at \(replay.leastDecibels) dB or better")
  try? FileManager.default.removeItem(at: cache)
  exit(replay.mismatches.isEmpty ? 0 : 1)
} catch {
  try? FileManager.default.removeItem(at: cache)
  FileHandle.standardError.write(Data("\(folder): \(error)\n".utf8))
  exit(1)
}
