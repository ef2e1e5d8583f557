import Foundation
import XCTest

@testable import PocketBundle

/// Published vectors: FIPS 180-2, appendix B, and the Secure Hash Standard's validation system.
final class HashTests: XCTestCase {
  private let published: [(Data, String)] = [
    (Data(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    (Data("abc".utf8), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
      Data("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq".utf8),
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
    (
      Data(repeating: UInt8(ascii: "a"), count: 1_000_000),
      "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
    ),
  ]

  func testPublishedVectors() {
    for (data, hash) in published {
      var portable = PortableSHA256()
      portable.update(data)
      XCTAssertEqual(portable.finish(), hash)
    }
  }

  func testPartsOfAnySize() {
    let data = published[3].0
    for size in [1, 55, 56, 63, 64, 65, 127, 4096] {
      var portable = PortableSHA256()
      for first in stride(from: 0, to: 10_000, by: size) {
        portable.update(data[first..<min(first + size, 10_000)])
      }
      XCTAssertEqual(
        portable.finish(), "27dd1f61b867b6a0f6e9d8a41c43231de52107e53ae424de8f847b821db4b711")
    }
  }

  func testFiles() throws {
    let file = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    defer { try? FileManager.default.removeItem(at: file) }
    for (data, hash) in published {
      try data.write(to: file)
      XCTAssertEqual(try Hash.sha256(file: file), hash)
    }
  }
}
