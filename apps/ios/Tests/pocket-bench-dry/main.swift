// The benchmark mode as the app runs it, with a program that only passes time:
// pocket-bench-dry DOCUMENTS --bench --bundle …

import Foundation
import PocketBench
import PocketEngine
import PocketText

struct Dry: Program {
  let runtime = "nothing"

  func logits(of input: ProgramInput) throws -> SpanLogits {
    usleep(UInt32(input.ids.count))
    let zeros = [Float](repeating: 0, count: input.ids.count)
    return SpanLogits(start: zeros, end: zeros)
  }
}

let device = Device(
  place: Place(
    kind: .ios, name: "Dry", processor: "none", cores: ProcessInfo.processInfo.activeProcessorCount,
    system: System.name),
  app: "pocket-bench-dry",
  state: { DeviceState(thermal: "nominal", batteryPercent: 80, charging: false) },
  peakBytes: { 1 << 20 })
let bench = HeadlessBench(
  documents: URL(fileURLWithPath: CommandLine.arguments[1]), device: device,
  load: { bundle, units in
    LoadedProgram(
      program: Dry(), loadNanoseconds: 1000, delegate: "Core ML", delegateIsKnown: true,
      unitsGot: units.rawValue)
  },
  pause: .milliseconds(20),
  say: { line in FileHandle.standardOutput.write(Data("\(line)\n".utf8)) })
exit(await bench.run(CommandLine.arguments))
