import Foundation

/// A passage to try the model with; the three apps ship the same ones.
struct Sample: Decodable, Identifiable {
  let title: String
  let passage: String
  let questions: [String]

  var id: String { title }

  /// apps/samples.json, which the build copies into the app.
  static let all: [Sample] = {
    guard let file = Bundle.main.url(forResource: "samples", withExtension: "json"),
      let data = try? Data(contentsOf: file)
    else { return [] }
    return (try? JSONDecoder().decode([Sample].self, from: data)) ?? []
  }()
}
