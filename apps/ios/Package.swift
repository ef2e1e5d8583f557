// swift-tools-version:5.9

import PackageDescription

// The layers, from the bottom: what a bundle is, what text becomes, and later what runs it and what shows it.
// The first two need Foundation only and are tested on Linux too.
let package = Package(
  name: "Pocket",
  platforms: [.iOS(.v17), .macOS(.v14)],
  products: [
    .library(name: "PocketBundle", targets: ["PocketBundle"]),
    .library(name: "PocketText", targets: ["PocketText"]),
  ],
  targets: [
    .target(name: "PocketBundle"),
    .target(
      name: "PocketText", dependencies: ["PocketBundle"],
      resources: [.copy("Resources/unicode.txt")]),
    .testTarget(name: "PocketBundleTests", dependencies: ["PocketBundle"]),
    .testTarget(name: "PocketTextTests", dependencies: ["PocketBundle", "PocketText"]),
  ]
)
