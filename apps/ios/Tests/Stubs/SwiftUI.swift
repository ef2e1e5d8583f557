import Foundation
@_exported import Observation

// MARK: - Views

@MainActor @preconcurrency public protocol View {
  associatedtype Body: View
  @ViewBuilder @MainActor @preconcurrency var body: Body { get }
}

extension Never: View {
  public var body: Never { return fatalError() }
}

/// Stands for every view that SwiftUI itself makes.
public struct Stub: View {
  public nonisolated init() {}
  public var body: Never { return fatalError() }
}

@resultBuilder public struct ViewBuilder {
  public static func buildBlock<Content: View>(_ content: Content) -> Content { content }
  @_disfavoredOverload
  public static func buildBlock<each Content: View>(_ content: repeat each Content) -> Stub {
    Stub()
  }
  public static func buildExpression<Content: View>(_ content: Content) -> Content { content }
  public static func buildIf<Content: View>(_ content: Content?) -> Content? { content }
  public static func buildEither<First: View, Second: View>(first: First) -> Conditional<
    First, Second
  > { Conditional() }
  public static func buildEither<First: View, Second: View>(second: Second) -> Conditional<
    First, Second
  > { Conditional() }
}

public struct Conditional<First: View, Second: View>: View {
  nonisolated init() {}
  public var body: Never { return fatalError() }
}

extension Optional: View where Wrapped: View {
  public var body: Never { return fatalError() }
}

@MainActor @preconcurrency public protocol Scene {}
@MainActor @preconcurrency public protocol App {
  associatedtype Body: Scene
  @MainActor @preconcurrency var body: Body { get }
  init()
}
extension App {
  public static func main() {}
}
public struct WindowGroup: Scene {
  public init<Content: View>(@ViewBuilder content: () -> Content) {}
}

// MARK: - State

@propertyWrapper public struct State<Value> {
  public init(wrappedValue: Value) { self.wrappedValue = wrappedValue }
  public var wrappedValue: Value {
    get { fatalError() }
    nonmutating set {}
  }
  public var projectedValue: Binding<Value> { fatalError() }
}

@propertyWrapper public struct Binding<Value> {
  public init(get: @escaping () -> Value, set: @escaping (Value) -> Void) {}
  public var wrappedValue: Value {
    get { fatalError() }
    nonmutating set {}
  }
}

@dynamicMemberLookup @propertyWrapper public struct Bindable<Value: AnyObject & Observable> {
  public init(wrappedValue: Value) { self.wrappedValue = wrappedValue }
  public var wrappedValue: Value
  public var projectedValue: Bindable<Value> { self }
  public subscript<Subject>(dynamicMember path: ReferenceWritableKeyPath<Value, Subject>)
    -> Binding<
      Subject
    >
  { fatalError() }
}

@propertyWrapper public struct FocusState<Value: Hashable> {
  public init() where Value == Bool {}
  public var wrappedValue: Value {
    get { fatalError() }
    nonmutating set {}
  }
  public var projectedValue: Binding { fatalError() }

  public struct Binding {}
}

@propertyWrapper public struct Environment<Value> {
  public init(_ path: KeyPath<EnvironmentValues, Value>) {}
  public init(_ type: Value.Type) where Value: AnyObject & Observable {}
  public var wrappedValue: Value { fatalError() }
}

public struct EnvironmentValues {
  public var horizontalSizeClass: UserInterfaceSizeClass? { nil }
}
public enum UserInterfaceSizeClass { case compact, regular }

// MARK: - Text

public struct LocalizedStringKey: ExpressibleByStringInterpolation {
  public init(stringLiteral: String) {}
}

public struct Text: View {
  public struct LineStyle: Hashable, Sendable {
    public static let single = LineStyle()
  }

  @_disfavoredOverload public init<S: StringProtocol>(_ content: S) {}
  public init(_ key: LocalizedStringKey) {}
  @_disfavoredOverload public init(_ text: AttributedString) {}
  public init<F: FormatStyle>(_ input: F.FormatInput, format: F) where F.FormatOutput == String {}
  public func bold() -> Text { self }
  public var body: Never { return fatalError() }
}

public struct Font: Hashable, Sendable {
  public static let body = Font()
  public static let title3 = Font()
  public func bold() -> Font { self }
}

public struct Color: Hashable, Sendable {
  public static let yellow = Color()
  public func opacity(_ opacity: Double) -> Color { self }
}

extension AttributeScopes {
  public var swiftUI: SwiftUIAttributes.Type { SwiftUIAttributes.self }

  public struct SwiftUIAttributes: AttributeScope {
    public let font: FontAttribute
    public let backgroundColor: BackgroundColor
    public let underlineStyle: UnderlineStyle

    public enum FontAttribute: AttributedStringKey {
      public typealias Value = Font
      public static let name = "SwiftUI.Font"
    }
    public enum BackgroundColor: AttributedStringKey {
      public typealias Value = Color
      public static let name = "SwiftUI.BackgroundColor"
    }
    public enum UnderlineStyle: AttributedStringKey {
      public typealias Value = Text.LineStyle
      public static let name = "SwiftUI.UnderlineStyle"
    }
  }
}

// MARK: - Controls

public struct EmptyView: View {
  public init() {}
  public var body: Never { return fatalError() }
}

public struct Group<Content: View>: View {
  public init(@ViewBuilder content: () -> Content) {}
  public var body: Never { return fatalError() }
}

public struct TabView: View {
  public init<Content: View>(@ViewBuilder content: () -> Content) {}
  public var body: Never { return fatalError() }
}

public struct NavigationStack: View {
  public init<Content: View>(@ViewBuilder root: () -> Content) {}
  public var body: Never { return fatalError() }
}

public struct HStack: View {
  public init<Content: View>(
    alignment: VerticalAlignment = .center, spacing: CGFloat? = nil,
    @ViewBuilder content: () -> Content
  ) {}
  public var body: Never { return fatalError() }
}
public enum VerticalAlignment { case top, center }

public struct Form: View {
  public init<Content: View>(@ViewBuilder content: () -> Content) {}
  public var body: Never { return fatalError() }
}

public struct Section: View {
  public init<Content: View>(@ViewBuilder content: () -> Content) {}
  public init<Content: View>(_ title: LocalizedStringKey, @ViewBuilder content: () -> Content) {}
  public init<Content: View, Footer: View>(
    @ViewBuilder content: () -> Content, @ViewBuilder footer: () -> Footer
  ) {}
  public var body: Never { return fatalError() }
}

public struct ForEach: View {
  public init<Data: RandomAccessCollection, Content: View>(
    _ data: Data, @ViewBuilder content: @escaping (Data.Element) -> Content
  ) where Data.Element: Identifiable {}
  public init<Data: RandomAccessCollection, ID: Hashable, Content: View>(
    _ data: Data, id: KeyPath<Data.Element, ID>,
    @ViewBuilder content: @escaping (Data.Element) -> Content
  ) {}
  public var body: Never { return fatalError() }
}

public struct ButtonRole: Sendable {
  public static let cancel = ButtonRole()
  public static let destructive = ButtonRole()
}

public struct Button: View {
  public init<Label: View>(
    action: @escaping @MainActor () -> Void, @ViewBuilder label: () -> Label
  ) {}
  public init(_ title: LocalizedStringKey, action: @escaping @MainActor () -> Void) {}
  @_disfavoredOverload
  public init<S: StringProtocol>(_ title: S, action: @escaping @MainActor () -> Void) {}
  public init(
    _ title: LocalizedStringKey, role: ButtonRole?, action: @escaping @MainActor () -> Void
  ) {}
  public init(
    _ title: LocalizedStringKey, systemImage: String, action: @escaping @MainActor () -> Void
  ) {}
  @_disfavoredOverload public init<S: StringProtocol>(
    _ title: S, systemImage: String, action: @escaping @MainActor () -> Void
  ) {}
  public init(
    _ title: LocalizedStringKey, systemImage: String, role: ButtonRole?,
    action: @escaping @MainActor () -> Void
  ) {}
  public var body: Never { return fatalError() }
}

public struct Menu: View {
  public init<Content: View>(
    _ title: LocalizedStringKey, systemImage: String, @ViewBuilder content: () -> Content
  ) {}
  public var body: Never { return fatalError() }
}

public struct Label: View {
  public init(_ title: LocalizedStringKey, systemImage: String) {}
  @_disfavoredOverload public init<S: StringProtocol>(_ title: S, systemImage: String) {}
  public var body: Never { return fatalError() }
}

public enum Axis { case horizontal, vertical }

public struct TextField: View {
  public init(_ title: LocalizedStringKey, text: Binding<String>) {}
  public init(_ title: LocalizedStringKey, text: Binding<String>, axis: Axis) {}
  public var body: Never { return fatalError() }
}

public struct LabeledContent: View {
  public init<Content: View>(_ title: LocalizedStringKey, @ViewBuilder content: () -> Content) {}
  public init<S: StringProtocol>(_ title: LocalizedStringKey, value: S) {}
  public init<F: FormatStyle>(_ title: LocalizedStringKey, value: F.FormatInput, format: F)
  where F.FormatInput: Equatable, F.FormatOutput == String {}
  public var body: Never { return fatalError() }
}

public struct ProgressView: View {
  public init(_ title: LocalizedStringKey) {}
  public init<V: BinaryFloatingPoint>(_ title: LocalizedStringKey, value: V?, total: V = 1.0) {}
  public var body: Never { return fatalError() }
}

public struct Picker: View {
  public init<Selection: Hashable, Content: View>(
    _ title: LocalizedStringKey, selection: Binding<Selection>, @ViewBuilder content: () -> Content
  ) {}
  public var body: Never { return fatalError() }
}

public struct ShareLink: View {
  public init(_ title: LocalizedStringKey, item: URL) {}
  public var body: Never { return fatalError() }
}

public protocol TimelineSchedule {}
public struct PeriodicTimelineSchedule: TimelineSchedule {}
extension TimelineSchedule where Self == PeriodicTimelineSchedule {
  public static func periodic(from start: Date, by interval: TimeInterval) -> Self { Self() }
}
public struct TimelineView: View {
  public struct Context {}
  public init<Schedule: TimelineSchedule, Content: View>(
    _ schedule: Schedule, @ViewBuilder content: @escaping (Context) -> Content
  ) {}
  public var body: Never { return fatalError() }
}

// MARK: - Modifiers

public protocol PrimitiveButtonStyle {}
public struct BorderedProminentButtonStyle: PrimitiveButtonStyle {}
extension PrimitiveButtonStyle where Self == BorderedProminentButtonStyle {
  public static var borderedProminent: Self { Self() }
}
public protocol TextSelectability {}
public struct EnabledTextSelectability: TextSelectability {}
extension TextSelectability where Self == EnabledTextSelectability {
  public static var enabled: Self { Self() }
}
public struct ScrollDismissesKeyboardMode: Sendable {
  public static let interactively = ScrollDismissesKeyboardMode()
}
public struct SubmitLabel: Sendable {
  public static let search = SubmitLabel()
}

extension View {
  public func environment<T: AnyObject & Observable>(_ object: T?) -> some View { Stub() }
  public func task(
    priority: TaskPriority = .userInitiated,
    @_inheritActorContext _ action: @escaping @Sendable () async -> Void
  ) -> some View { Stub() }
  public func onAppear(perform action: (() -> Void)? = nil) -> some View { Stub() }
  public func onSubmit(_ action: @escaping () -> Void) -> some View { Stub() }
  public func focused(_ condition: FocusState<Bool>.Binding) -> some View { Stub() }
  public func scrollDismissesKeyboard(_ mode: ScrollDismissesKeyboardMode) -> some View { Stub() }
  public func tabItem<V: View>(@ViewBuilder _ label: () -> V) -> some View { Stub() }
  public func navigationTitle(_ title: LocalizedStringKey) -> some View { Stub() }
  public func toolbar<Content: View>(@ViewBuilder content: () -> Content) -> some View { Stub() }
  public func frame(
    minWidth: CGFloat? = nil, maxWidth: CGFloat? = nil, minHeight: CGFloat? = nil
  ) -> some View { Stub() }
  public func padding() -> some View { Stub() }
  public func font(_ font: Font?) -> some View { Stub() }
  public func textSelection<S: TextSelectability>(_ selectability: S) -> some View { Stub() }
  public func lineLimit(_ limit: ClosedRange<Int>) -> some View { Stub() }
  public func submitLabel(_ label: SubmitLabel) -> some View { Stub() }
  public func buttonStyle<S: PrimitiveButtonStyle>(_ style: S) -> some View { Stub() }
  public func disabled(_ disabled: Bool) -> some View { Stub() }
  public func accessibilityLabel(_ label: LocalizedStringKey) -> some View { Stub() }
  @_disfavoredOverload
  public func accessibilityLabel<S: StringProtocol>(_ label: S) -> some View { Stub() }
  @_disfavoredOverload
  public func accessibilityValue<S: StringProtocol>(_ value: S) -> some View { Stub() }
}
