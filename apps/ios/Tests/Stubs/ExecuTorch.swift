public protocol ValueConvertible {}
public protocol Scalar {}
extension Int32: Scalar {}
extension Float: Scalar {}

public class Value {
  public func tensor<T: Scalar>() -> Tensor<T>? { nil }
}

public class Tensor<T: Scalar>: ValueConvertible {
  public init(_ scalars: [T], shape: [Int] = []) {}
  public func scalars() -> [T] { [] }
}

public class Module {
  public init(filePath: String) {}
  public func load(_ method: String) throws {}
  public func forward(_ inputs: [any ValueConvertible]) throws -> [Value] { [] }
}
