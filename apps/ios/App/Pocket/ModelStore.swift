import Foundation
import Observation
import PocketBench
import PocketEngine

/// The model that came with the app: checked, compiled and loaded once, then shared by all screens.
@MainActor
@Observable
final class ModelStore {
  enum State {
    case loading
    case ready(QuestionAnswerer)
    /// Made, and never seen to run; the user may try it.
    case unverified(String)
    case refused(String)
  }

  private(set) var state = State.loading

  /// Where `python -m pipeline.run --target coreml --app ios` puts the bundle, in the app.
  private static let folder = Bundle.main.bundleURL.appendingPathComponent("model")

  func open(unverified: Bool = false) async {
    HeadlessBench.clean(.documentsDirectory)
    state = .loading
    do {
      state = .ready(
        try await QuestionAnswerer.open(
          ModelStore.folder, cache: ModelStore.cache, unverified: unverified))
    } catch let error as UnverifiedBundle {
      state = .unverified(sentence(of: error))
    } catch {
      state = .refused(sentence(of: error))
    }
  }

  /// Compiled models are kept here; the system may empty it, and they are compiled again.
  nonisolated static let cache = URL.cachesDirectory.appendingPathComponent("compiled-models")
}

/// What went wrong, as it is shown: word by word what every platform says.
func sentence(of error: any Error) -> String { error.localizedDescription }
