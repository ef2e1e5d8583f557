// swift-tools-version:6.0

import PackageDescription

// The layers, from the bottom: what a bundle is, what text becomes, what runs it, what times it. The app is on
// top, in App/. All but the files that import Core ML or ExecuTorch need Foundation only and are tested on Linux.
let package = Package(
  name: "Pocket",
  platforms: [.iOS(.v17), .macOS(.v14)],
  products: [
    .library(name: "PocketBundle", targets: ["PocketBundle"]),
    .library(name: "PocketText", targets: ["PocketText"]),
    .library(name: "PocketEngine", targets: ["PocketEngine"]),
    .library(name: "PocketBench", targets: ["PocketBench"]),
  ],
  targets: [
    .target(name: "PocketBundle"),
    .target(
      name: "PocketText", dependencies: ["PocketBundle"],
      resources: [.copy("Resources/unicode.txt")]),
    .target(name: "PocketEngine", dependencies: ["PocketBundle", "PocketText"]),
    .target(name: "PocketBench", dependencies: ["PocketBundle", "PocketText", "PocketEngine"]),
    // On a Mac: a bundle's golden cases in Core ML itself.
    .executableTarget(name: "pocket-replay", dependencies: ["PocketEngine"]),
    // The benchmark mode with a program that only counts: what device_bench's own tests talk to.
    .executableTarget(
      name: "pocket-bench-dry", dependencies: ["PocketBench"], path: "Tests/pocket-bench-dry"),
    .testTarget(name: "PocketBundleTests", dependencies: ["PocketBundle"]),
    .testTarget(name: "PocketTextTests", dependencies: ["PocketBundle", "PocketText"]),
    .testTarget(name: "PocketEngineTests", dependencies: ["PocketEngine"]),
    .testTarget(name: "PocketBenchTests", dependencies: ["PocketBench"]),
  ]
)
