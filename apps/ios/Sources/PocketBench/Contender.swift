import Foundation
import PocketBundle
import PocketEngine

/// One of the programs that are held against each other.
public struct Contender: Sendable {
  /// "candidate", "baseline" or "peak".
  public let role: String
  public let bundle: ModelBundle
  let precision: String

  public init(role: String, bundle: ModelBundle) throws {
    guard let precision = bundle.precision else {
      throw BenchFailed(
        "\(bundle.name) was made before bundles said their precision; make it again")
    }
    self.role = role
    self.bundle = bundle
    self.precision = precision
  }

  /// A folder that `device_bench` named: candidate-0, baseline-1.
  init(_ folder: URL) throws {
    let name = folder.lastPathComponent
    do {
      let role = name.split(separator: "-").first.map(String.init) ?? name
      try self.init(
        role: role, bundle: ModelBundle(folder: folder, wanted: .questionAnswering))
    } catch let refused as BundleRefused {
      throw BenchFailed("bundle \(name): \(refused)")
    }
  }

  /// The files of the program, by their names in it: one, or those of a package.
  private var program: [(name: String, file: ModelBundle.File)] {
    let name = bundle.program.lastPathComponent
    return bundle.files.compactMap { file in
      if file.name == name { return (name, file) }
      guard file.name.hasPrefix("\(name)/") else { return nil }
      return (String(file.name.dropFirst(name.count + 1)), file)
    }
  }

  /// Of the program's file, or of a package's files together, as device_bench computes it.
  var programSha256: String {
    let files = program
    if files.count == 1, files[0].name == bundle.program.lastPathComponent {
      return files[0].file.sha256
    }
    let hashes = files.map { (ExactString($0.name), JSON.string($0.file.sha256)) }
    return Hash.sha256(JSON.object(Dictionary(uniqueKeysWithValues: hashes)).canonical)
  }

  var footprint: Footprint {
    let manifest = try? bundle.url(of: "manifest.json").resourceValues(forKeys: [.fileSizeKey])
    return Footprint(
      programBytes: program.reduce(0) { $0 + $1.file.sizeBytes },
      bundleBytes: bundle.sizeBytes + (manifest?.fileSize ?? 0))
  }

  /// Of one inference, mean over windows that ran at these lengths.
  func multiplyAdds(_ lengths: [Int]) -> Int? {
    bundle.multiplyAdds.map { formula in
      Int((Double(lengths.reduce(0) { $0 + formula.of($1) }) / Double(lengths.count)).rounded())
    }
  }
}
