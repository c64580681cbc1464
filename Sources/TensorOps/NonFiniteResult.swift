public import TensorCore

/// A block's result that holds NaN or infinity.
public struct NonFiniteResult: Sendable {
  /// Where: network, step, block and which of its results.
  public let location: String
  /// The network, and the names that the weights of the block begin with there.
  public let network: String
  public let blocks: [String]
  /// How much of the result is no number.
  public let found: String
  /// What is the likely cause, and what to do.
  public var cause: String

  public init(location: String, network: String, blocks: [String], found: String, cause: String) {
    (self.location, self.network, self.blocks) = (location, network, blocks)
    (self.found, self.cause) = (found, cause)
  }
}

/// How many of a tensor's values are no numbers, and how large the others are.
public struct NonFiniteCount: Sendable {
  public private(set) var nanCount = 0
  public private(set) var infiniteCount = 0
  public let count: Int
  /// Where the first of them is.
  public private(set) var first: [Int]?
  /// The largest magnitude of a finite value.
  public private(set) var largest: Float = 0

  /// - Parameter tensor: float32, contiguous, in host memory.
  public init(_ tensor: Tensor) {
    count = tensor.count
    for (index, value) in tensor.floats().enumerated() {
      if value.isFinite {
        largest = max(largest, value.magnitude)
        continue
      }
      if value.isNaN { nanCount += 1 } else { infiniteCount += 1 }
      if first == nil {
        var rest = index
        first = tensor.shape.dimensions.reversed().map { extent in
          defer { rest /= extent }
          return rest % extent
        }.reversed()
      }
    }
  }

  /// `3 NaN and 1 infinite of 6144 values, the first at [0, 2, 17], others up to 1.2e+03`
  public var text: String {
    let place = first.map { ", the first at \($0)" } ?? ""
    let others = nanCount + infiniteCount < count ? ", others up to \(largest)" : ""
    return "\(nanCount) NaN and \(infiniteCount) infinite of \(count) values\(place)\(others)"
  }
}
