import Charts
import Foundation
import PocketBench
import PocketEngine
import SwiftUI

/// Times the model on this device, at one length, and shows how the times are spread.
struct BenchmarkView: View {
  @Environment(ModelStore.self) private var model
  @State private var benchmark = BenchmarkModel()
  @State private var length = 128
  @State private var units = ComputeUnits.all

  var body: some View {
    NavigationStack {
      Form {
        if case .ready(let answerer) = model.state {
          Section {
            Picker("Tokens", selection: $length) {
              ForEach(lengths(of: answerer), id: \.self) { Text($0, format: .number) }
            }
            Picker("Compute units", selection: $units) {
              ForEach(ComputeUnits.allCases, id: \.self) { Text($0.title) }
            }
            button(answerer)
          } footer: {
            Text(
              "At least \(Plan.standard.runs) runs and \(Int(Plan.standard.seconds)) seconds after the warm-up. Keep the app open and the device cool."
            )
          }
          .onAppear {
            if !lengths(of: answerer).contains(length) { length = lengths(of: answerer)[0] }
          }
        } else {
          ModelSection()
        }
        outcome
      }
      .navigationTitle("Benchmark")
    }
  }

  @ViewBuilder private var outcome: some View {
    switch benchmark.state {
    case .idle: EmptyView()
    case .running(let rounds): RunningSection(rounds: rounds)
    case .done(let measurement, let file): ResultSections(measurement: measurement, file: file)
    case .failed(let why): Label(why, systemImage: "exclamationmark.triangle")
    }
  }

  @ViewBuilder private func button(_ answerer: QuestionAnswerer) -> some View {
    if case .running = benchmark.state {
      Button("Cancel", role: .cancel) { benchmark.cancel() }
    } else {
      Button("Start") { benchmark.start(answerer, length: length, units: units) }
    }
  }

  /// The lengths that the program was made for; of one that takes any, a few.
  private func lengths(of answerer: QuestionAnswerer) -> [Int] {
    let lengths = answerer.bundle.lengths
    let usual = lengths.filter { [64, 128, 256, 384].contains($0) }
    return lengths.count <= 8 || usual.isEmpty ? lengths : usual
  }
}

private struct RunningSection: View {
  let rounds: Rounds

  var body: some View {
    Section {
      // asked twice a second, so that no round of the measurement waits for the screen
      TimelineView(.periodic(from: .now, by: 0.5)) { _ in
        ProgressView("Measuring", value: rounds.share)
      }
    }
  }
}

private struct ResultSections: View {
  let measurement: DeviceMeasurement
  let file: URL

  var body: some View {
    let samples = Distribution(measurement.programs[0].samplesNs)
    Section("Time of one inference") {
      LatencyChart(samples: samples)
      row("Median", samples, 0.5)
      row("90th percentile", samples, 0.9)
      row("99th percentile", samples, 0.99)
      LabeledContent("Runs", value: samples.count, format: .number)
    }
    Section {
      ForEach(measurement.validity.reasons, id: \.self) { reason in
        Label(reason, systemImage: "exclamationmark.triangle")
      }
      ShareLink("Share measurement.json", item: file)
    }
  }

  private func row(_ title: LocalizedStringKey, _ samples: Distribution, _ share: Double)
    -> some View
  {
    LabeledContent(title) { Text("\(milliseconds(samples.milliseconds(at: share))) ms") }
  }
}

private struct LatencyChart: View {
  let samples: Distribution

  var body: some View {
    Chart(samples.bins(24), id: \.lower) { bin in
      RectangleMark(
        xStart: .value("From", bin.lower), xEnd: .value("To", bin.upper),
        yStart: .value("None", 0), yEnd: .value("Runs", bin.count)
      )
      .accessibilityLabel("\(milliseconds(bin.lower)) to \(milliseconds(bin.upper)) milliseconds")
      .accessibilityValue("\(bin.count) runs")
    }
    .chartXAxisLabel("Milliseconds")
    .chartYAxisLabel("Runs")
    .frame(minHeight: 180)
  }
}

private func milliseconds(_ value: Double) -> String {
  value.formatted(.number.precision(.fractionLength(2)))
}

extension ComputeUnits {
  fileprivate var title: LocalizedStringKey {
    switch self {
    case .cpuOnly: "CPU"
    case .cpuAndNeuralEngine: "CPU and Neural Engine"
    case .all: "All"
    }
  }
}
