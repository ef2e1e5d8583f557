import Foundation

/// Why a bundle is refused, in the sentence that every platform says.
public struct BundleRefused: Error, Equatable, LocalizedError, CustomStringConvertible {
  public let description: String
  public var errorDescription: String? { description }

  init(_ sentence: String) {
    description = sentence
  }
}

/// A checked bundle: a program, the tokenizer it was trained with, and what the manifest says of both.
///
/// apps/README.md is the contract. Nothing of the folder may be used before `init(folder:wanted:)` returns.
public struct ModelBundle: Sendable {
  public static let format = 1
  static let manifestName = "manifest.json"

  public let folder: URL
  public let name: String
  /// Which runtime the program is for.
  public let target: String
  public let program: URL
  public let task: ModelTask
  /// Sequence lengths that the program takes, ascending.
  public let lengths: [Int]
  public let metrics: [String: Double]
  /// False: made, and never seen to run. An app should not use it unless it was asked to.
  public let isVerified: Bool
  public let whyNotVerified: String?
  public let seal: String
  /// Of all files together.
  public let sizeBytes: Int
  public let files: [File]
  /// Of its linears, "int8" or "float32"; nil in bundles made before manifests said so.
  public let precision: String?
  /// Made to compare size and latency with; its answers mean nothing.
  public let hasRandomWeights: Bool
  public let parameters: Int?
  public let multiplyAdds: MultiplyAdds?

  /// Reads the manifest and compares every file with it.
  ///
  /// - Throws: `BundleRefused` for a folder that is no bundle, one that was altered, one of a newer format,
  ///   or one of a task that is unknown or not `wanted`.
  public init(folder: URL, wanted: ModelTask.Kind? = nil) throws {
    let (manifest, kind) = try ModelBundle.manifest(in: folder, wanted: wanted)
    let files = manifest["files"]?.members ?? [:]
    self.files = try ModelBundle.check(files, in: folder)
    sizeBytes = self.files.reduce(0) { $0 + $1.sizeBytes }
    guard let name = manifest["name"]?.text, let target = manifest["target"]?.text,
      let program = manifest["program"]?.text
    else { throw BundleRefused.lacksField }
    try ModelBundle.checkInside(program)
    guard let windows = manifest["windows"], let task = ModelTask(kind: kind, settings: windows),
      let metrics = manifest["metrics"]?.members,
      let lengths = manifest["lengths"].flatMap(ModelBundle.lengths)
    else { throw BundleRefused.lacksField }
    guard files.keys.contains(where: { isProgram($0.text, program) }) else {
      throw BundleRefused("its program is missing; make the bundle again")
    }
    self.folder = folder
    self.name = name
    self.target = target
    self.program = folder.appendingPathComponent(program)
    self.task = task
    self.lengths = lengths
    self.metrics = Dictionary(
      metrics.compactMap { key, value in value.double.map { (key.text, $0) } },
      uniquingKeysWith: { $1 })
    isVerified = manifest["verified"]?.flag ?? true
    whyNotVerified = manifest["why_not_verified"]?.text
    seal = manifest["seal"]?.text ?? ""
    precision = manifest["precision"]?.text
    hasRandomWeights = manifest["random_weights"]?.flag ?? false
    parameters = manifest["parameters"]?.whole
    multiplyAdds = manifest["multiply_adds"].flatMap(MultiplyAdds.init)
  }

  /// The shortest length that holds so many tokens; nil when none does.
  public func length(for tokens: Int) -> Int? {
    lengths.first { $0 >= tokens }
  }

  public func url(of name: String) -> URL {
    folder.appendingPathComponent(name)
  }
}

extension ModelBundle {
  /// One file of the folder, as it was found and checked.
  public struct File: Sendable {
    public let name: String
    public let sha256: String
    public let sizeBytes: Int
  }

  /// Multiplications of one inference's matrix products, each with its addition.
  public struct MultiplyAdds: Sendable {
    let perToken: Int
    let perPair: Int
    let perWindow: Int

    init?(_ field: JSON) {
      guard let perToken = field["per_token"]?.whole, let perPair = field["per_pair"]?.whole else {
        return nil
      }
      self.perToken = perToken
      self.perPair = perPair
      perWindow = field["per_window"]?.whole ?? 0
    }

    /// Of an inference at so many tokens.
    public func of(_ length: Int) -> Int {
      perWindow + perToken * length + perPair * length * length
    }
  }
}

extension BundleRefused {
  static let damaged = BundleRefused("manifest.json is damaged; make the bundle again")
  static let altered = BundleRefused("manifest.json was altered; make the bundle again")
  static let lacksField = BundleRefused(
    "manifest.json lacks a field that a bundle needs; make the bundle again")
}

// MARK: - The manifest

extension ModelBundle {
  /// A manifest that is what was sealed, of this format and of a known task.
  private static func manifest(in folder: URL, wanted: ModelTask.Kind?) throws -> (
    JSON, ModelTask.Kind
  ) {
    let file = folder.appendingPathComponent(manifestName)
    guard FileManager.default.fileExists(atPath: file.path) else {
      throw BundleRefused("it has no manifest.json, so it is not a bundle")
    }
    guard let data = try? Data(contentsOf: file), let manifest = try? JSON(reading: Array(data)),
      case .number(let format)? = manifest["format"], isCounting(format),
      let task = manifest["task"], let files = manifest["files"]
    else { throw BundleRefused.damaged }
    guard format == String(ModelBundle.format) else {
      throw BundleRefused(
        "it has format \(format), newer than the \(ModelBundle.format) this software reads; update the software"
      )
    }
    guard let kind = task.text.flatMap(ModelTask.Kind.init(rawValue:)) else {
      let known = ModelTask.Kind.allCases.map(\.rawValue).joined(separator: ", ")
      throw BundleRefused("its task is \(task.canonical), not one of \(known)")
    }
    if let wanted, wanted != kind {
      throw BundleRefused("its task is \(task.canonical), and \"\(wanted.rawValue)\" is wanted")
    }
    guard let entries = files.members, entries.values.allSatisfy({ $0.members != nil }),
      manifest["seal"]?.text == seal(of: manifest), data.elementsEqual(manifest.indented.utf8)
    else { throw BundleRefused.altered }
    return (manifest, kind)
  }

  /// Digits of a whole number from 1 on.
  private static func isCounting(_ digits: String) -> Bool {
    digits != "0" && digits.utf8.allSatisfy { (0x30...0x39).contains($0) }
  }

  private static func seal(of manifest: JSON) -> String {
    var members = manifest.members ?? [:]
    members[ExactString("seal")] = nil
    return Hash.sha256(JSON.object(members).canonical)
  }

  private static func lengths(_ field: JSON) -> [Int]? {
    let found: [Int]
    if let fixed = field["fixed"] {
      guard let items = fixed.items else { return nil }
      found = items.compactMap(\.whole)
      guard found.count == items.count else { return nil }
    } else {
      guard let shortest = field["shortest"]?.whole, let longest = field["longest"]?.whole,
        shortest <= longest
      else { return nil }
      found = Array(shortest...longest)
    }
    guard let first = found.first, first > 0, zip(found, found.dropFirst()).allSatisfy(<) else {
      return nil
    }
    return found
  }
}

// MARK: - The files

extension ModelBundle {
  /// Compares the folder with the manifest and returns its files, by name.
  private static func check(_ expected: [ExactString: JSON], in folder: URL) throws -> [File] {
    var checked: [File] = []
    let found = try Listing(folder)
    if let link = found.links.min() {
      throw BundleRefused("\(link.text) is a symbolic link; a bundle holds plain files only")
    }
    let files = found.files.filter { $0.key != ExactString(manifestName) }
    for name in Set(expected.keys).union(files.keys).sorted() {
      try checkInside(name.text)
      guard let sizeBytes = files[name] else {
        throw BundleRefused("\(name.text) is missing; make the bundle again")
      }
      guard let entry = expected[name] else {
        throw BundleRefused("\(name.text) is not in its manifest; remove it")
      }
      guard let hash = try? Hash.sha256(file: folder.appendingPathComponent(name.text)),
        hash == entry["sha256"]?.text
      else {
        throw BundleRefused("\(name.text) was altered; make the bundle again")
      }
      checked.append(File(name: name.text, sha256: hash, sizeBytes: sizeBytes))
    }
    return checked
  }

  private static func checkInside(_ name: String) throws {
    // by bytes: a mark behind a slash would make one character of both
    let parts = name.utf8.split(separator: UInt8(ascii: "/")).map { String($0)! }
    let leaves = name.utf8.first == UInt8(ascii: "/") || name.utf8.contains(UInt8(ascii: "\\"))
    if leaves || parts.allSatisfy({ $0 == "." }) || parts.contains("..") {
      throw BundleRefused(
        "manifest.json names \(JSON.string(name).canonical), which is outside of the bundle")
    }
  }
}

private func isProgram(_ name: String, _ program: String) -> Bool {
  name.utf8.elementsEqual(program.utf8) || name.utf8.starts(with: "\(program)/".utf8)
}

/// All below a folder, by names relative to it.
private struct Listing {
  private(set) var files: [ExactString: Int] = [:]
  private(set) var links: [ExactString] = []

  init(_ folder: URL) throws {
    try list(folder, prefix: "")
  }

  private mutating func list(_ folder: URL, prefix: String) throws {
    for component in try FileManager.default.contentsOfDirectory(atPath: folder.path) {
      let item = folder.appendingPathComponent(component)
      let name = prefix + component
      let attributes = try FileManager.default.attributesOfItem(atPath: item.path)
      switch attributes[.type] as? FileAttributeType {
      case .typeSymbolicLink: links.append(ExactString(name))
      case .typeDirectory: try list(item, prefix: name + "/")
      case .typeRegular: files[ExactString(name)] = (attributes[.size] as? NSNumber)?.intValue ?? 0
      default: break
      }
    }
  }
}
