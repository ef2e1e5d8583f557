import Foundation

#if canImport(CryptoKit)
  import CryptoKit
#endif

/// SHA-256 of texts and files, in lower-case hexadecimal.
public enum Hash {
  /// Of a text's UTF-8.
  public static func sha256(_ text: String) -> String {
    var digest = Digest()
    digest.update(Data(text.utf8))
    return digest.finish()
  }

  /// Of a file, a megabyte at a time.
  public static func sha256(file: URL) throws -> String {
    let handle = try FileHandle(forReadingFrom: file)
    defer { try? handle.close() }
    var digest = Digest()
    while let part = try handle.read(upToCount: 1 << 20), !part.isEmpty {
      digest.update(part)
    }
    return digest.finish()
  }

  static func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    bytes.map { String(format: "%02x", $0) }.joined()
  }
}

#if canImport(CryptoKit)
  private struct Digest {
    private var digest = CryptoKit.SHA256()

    mutating func update(_ data: Data) {
      digest.update(data: data)
    }

    func finish() -> String {
      Hash.hexadecimal(digest.finalize())
    }
  }
#else
  private typealias Digest = PortableSHA256
#endif
