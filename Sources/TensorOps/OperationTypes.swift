public import TensorCore

/// An elementwise nonlinearity.
public enum Activation: Sendable, Hashable, CaseIterable {
  case none
  /// `x · sigmoid(x)`
  case silu
  /// `0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³)))`
  case geluTanh
  /// `x · sigmoid(1.702 x)`, CLIP's
  case quickGELU
}

/// What a module adds its output to: `x + gate · output`.
public struct ResidualStream: Sendable {
  /// `[B, L, C]`; without a gate, any shape that the output has.
  public let x: Tensor
  /// `[B, C]`, one for all tokens of a batch item; nil counts as ones.
  public let gate: Tensor?

  public init(_ x: Tensor, gate: Tensor? = nil) {
    precondition(
      gate == nil || (x.shape.rank == 3 && gate?.shape == [x.shape[0], x.shape[2]]),
      "residual stream: \(x) with a gate \(gate?.shape ?? []), expected [B, L, C] and [B, C]")
    self.x = x
    self.gate = gate
  }

  /// The stream's channels `range` alone.
  public func channels(_ range: Range<Int>) -> ResidualStream {
    ResidualStream(x.slice(x.shape.rank - 1, range), gate: gate?.slice(1, range))
  }
}

/// A group normalization with the activation after it, as a convolution may take it.
public struct GroupNormalization: Sendable {
  public let groups: Int
  /// `[C]`
  public let weight: Weight
  /// `[C]`
  public let bias: Weight
  public let epsilon: Float
  public let activation: Activation

  public init(groups: Int, weight: Weight, bias: Weight, epsilon: Float, activation: Activation) {
    self.groups = groups
    self.weight = weight
    self.bias = bias
    self.epsilon = epsilon
    self.activation = activation
  }
}

/// Which keys a query may attend.
public struct AttentionMask: Sendable, Hashable {
  /// Query `i` sees key `j` only if `j / causalBlock <= i / causalBlock`: 1 is causal attention, the number of tokens in
  /// a frame makes attention causal by frame. Nil: no such restriction.
  public var causalBlock: Int?
  /// The number of valid keys of each batch item; later keys are padding. Nil: all are valid.
  public var validKeys: [Int]?

  public init(causalBlock: Int? = nil, validKeys: [Int]? = nil) {
    precondition(causalBlock ?? 1 > 0, "attention mask: causal blocks of \(causalBlock ?? 0) tokens")
    self.causalBlock = causalBlock
    self.validKeys = validKeys
  }

  public static let none = AttentionMask()
  public static let causal = AttentionMask(causalBlock: 1)

  public var isEmpty: Bool { causalBlock == nil && validKeys == nil }

  /// How many pairs of a query and a key that it sees there are, in one head of all batch items.
  public func pairs(batch: Int, queries: Int, keys: Int) -> Double {
    (0..<batch).reduce(0.0) { total, item in
      let valid = min(validKeys?[item] ?? keys, keys)
      guard let causalBlock else { return total + Double(queries) * Double(valid) }
      return stride(from: 0, to: queries, by: causalBlock).reduce(total) { total, first in
        total + Double(min(causalBlock, queries - first)) * Double(min(valid, first + causalBlock))
      }
    }
  }
}

/// Keys and values of some tokens, both `[B, L, N, D]`.
public struct KeyValue: Sendable {
  public let key: Tensor
  public let value: Tensor

  public init(key: Tensor, value: Tensor) {
    precondition(key.shape == value.shape, "key/value: \(key) and \(value) differ in shape")
    self.key = key
    self.value = value
  }
}

/// What attention gives for one tensor of queries.
public struct AttentionOutput: Sendable {
  /// `[B, L, N, D]`, contiguous.
  public let values: Tensor
  /// Natural logarithm of the softmax denominators, `[B, N, L]` float32, where it was asked for: with it, results over
  /// disjoint sets of keys can be merged exactly.
  public let logSumExp: Tensor?

  public init(values: Tensor, logSumExp: Tensor?) {
    self.values = values
    self.logSumExp = logSumExp
  }
}

/// Rotation angles of a rotary position embedding: float32 in host memory, however 16-bit a device's activations are. A
/// device keeps its own copy.
public struct RotaryTable: Sendable {
  /// Which channels form a pair.
  public enum Pairing: Sendable, Hashable {
    /// Channels `2i` and `2i + 1` (HunyuanVideo).
    case interleaved
    /// Channels `i` and `i + D/2` (LLaMA).
    case halves
  }

  /// Cosines and sines, one per pair: `[L, D/2]` float32.
  public let cosines: Tensor
  public let sines: Tensor
  public let pairing: Pairing

  public init(cosines: Tensor, sines: Tensor, pairing: Pairing) {
    precondition(cosines.shape == sines.shape && cosines.shape.rank == 2, "rotary table: \(cosines) and \(sines)")
    self.cosines = cosines
    self.sines = sines
    self.pairing = pairing
  }

  /// The number of tokens.
  public var count: Int { cosines.shape[0] }

  /// The table of some tokens, for a shard.
  public func tokens(_ range: Range<Int>) -> RotaryTable {
    RotaryTable(cosines: cosines.slice(0, range), sines: sines.slice(0, range), pairing: pairing)
  }
}

/// Nearest-neighbour upsampling before a causal convolution.
public struct Upsampling: Sendable, Hashable {
  /// Frames after the first are repeated this often; the first stays single.
  public let time: Int
  /// Rows and columns are repeated this often.
  public let space: Int

  public init(time: Int, space: Int) {
    precondition((1...2).contains(time) && (1...2).contains(space), "upsampling: factors \(time) and \(space)")
    self.time = time
    self.space = space
  }

  public static let none = Upsampling(time: 1, space: 1)

  /// The number of frames that `frames` frames become: `(F - 1) · time + 1`.
  public func frames(_ frames: Int) -> Int { (frames - 1) * time + 1 }
}
