import PocketBench
import SwiftUI

@main
struct PocketApp: App {
  @State private var model = ModelStore()

  var body: some Scene {
    WindowGroup {
      if HeadlessBench.isAsked(CommandLine.arguments) {
        HeadlessBenchView()
      } else {
        RootView()
          .environment(model)
          .task { await model.open() }
      }
    }
  }
}

struct RootView: View {
  var body: some View {
    TabView {
      AskView()
        .tabItem { Label("Ask", systemImage: "text.magnifyingglass") }
      BenchmarkView()
        .tabItem { Label("Benchmark", systemImage: "stopwatch") }
    }
  }
}
