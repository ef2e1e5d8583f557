import SwiftUI

public protocol Plottable {}
extension Double: Plottable {}
extension Int: Plottable {}

public struct PlottableValue<Value: Plottable> {
  public static func value(_ label: LocalizedStringKey, _ value: Value) -> PlottableValue<Value> {
    PlottableValue()
  }
}

public protocol ChartContent {}
extension ChartContent {
  public func accessibilityLabel(_ label: LocalizedStringKey) -> some ChartContent { self }
  public func accessibilityValue(_ value: LocalizedStringKey) -> some ChartContent { self }
}

@resultBuilder public struct ChartContentBuilder {
  public static func buildBlock<Content: ChartContent>(_ content: Content) -> Content { content }
}

public struct RectangleMark: ChartContent {
  public init<X: Plottable, Y: Plottable>(
    xStart: PlottableValue<X>, xEnd: PlottableValue<X>, yStart: PlottableValue<Y>,
    yEnd: PlottableValue<Y>
  ) {}
}

public struct Chart: View {
  public init<Data: RandomAccessCollection, ID: Hashable, Content: ChartContent>(
    _ data: Data, id: KeyPath<Data.Element, ID>,
    @ChartContentBuilder content: @escaping (Data.Element) -> Content
  ) {}
  public var body: Never { return fatalError() }
}

extension View {
  public func chartXAxisLabel(_ label: LocalizedStringKey) -> some View { Stub() }
  public func chartYAxisLabel(_ label: LocalizedStringKey) -> some View { Stub() }
}
