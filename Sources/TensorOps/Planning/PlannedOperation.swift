/// What an operation is for the time it takes: everything about its shape that matters, and nothing else, so that operations
/// that take the same time are equal.
public struct PlannedOperation: Hashable, Sendable, Codable {
  /// Operations whose time has one law.
  public enum Kind: String, Sendable, Codable, CaseIterable {
    /// Extents: rows, inputs, outputs, tensors that the inputs are in, place of the activation among all, whether there is a bias, what
    /// is added to (0 nothing, 1 a stream, 2 one through gates).
    case linear
    /// Extents: batch, query heads, key heads, head size, queries, keys, causal block (0 for none), whether logarithms are made.
    case attention
    /// Extents: channels, outputs, kernel, batch, frames, height, width, factors in time and space, whether something is added.
    case convolution
    /// Extents: batch, channels, positions, whether channels come last.
    case groupNorm
    /// Extents: rows, width.
    case layerNorm, rmsNorm
    /// Extents: tokens, heads, head size, whether positions turn.
    case headNorm
    /// Extents: elements.
    case activate, gatedSiLU, residual, combination, isFinite, absoluteSum
    /// Extents: rows, width.
    case gatedResidual, meanOverTokens, embedding
    /// Extents: elements, elements that follow each other in both layouts.
    case copy
    /// Extents: tokens, heads, head size.
    case merged
    /// One of a device that says of its kernels how much each does; the format is its name. Extents: operations, bytes read and
    /// written.
    case kernel

    var extentCount: Int {
      switch self {
      case .linear: 7
      case .attention: 8
      case .convolution: 10
      case .groupNorm, .headNorm: 4
      case .merged, .kernel: 3
      case .layerNorm, .rmsNorm, .gatedResidual, .meanOverTokens, .embedding, .copy: 2
      case .activate, .gatedSiLU, .residual, .combination, .isFinite, .absoluteSum: 1
      }
    }
  }

  public let kind: Kind
  public let extents: [Int]
  /// How the weight is stored; empty where there is none.
  public let format: String

  public init(_ kind: Kind, _ extents: [Int], format: String = "") {
    self.kind = kind
    self.extents = extents
    self.format = format
  }

  /// Whether there are as many extents as the kind has, none of them absurd: for operations that were read from a file.
  public var isPossible: Bool {
    extents.count == kind.extentCount && extents.allSatisfy { (0...1 << 40).contains($0) }
  }
}

/// What operations do in all.
public struct OperationTotals: Sendable, Hashable, Codable {
  public var calls = 0
  /// Multiplications and additions, each counted; zero for operations that are bound by memory.
  public var operations = 0.0
  /// Activations and weights that are read, and results that are written.
  public var bytesRead = 0.0
  public var bytesWritten = 0.0
  /// Of what is read, weights as they are stored.
  public var weightBytes = 0.0

  public init() {}

  public static func += (a: inout OperationTotals, b: OperationTotals) {
    a.calls += b.calls
    a.operations += b.operations
    a.bytesRead += b.bytesRead
    a.bytesWritten += b.bytesWritten
    a.weightBytes += b.weightBytes
  }

  /// The totals of as many times the same.
  public static func * (a: OperationTotals, factor: Double) -> OperationTotals {
    var result = a
    result.calls = Int((Double(a.calls) * factor).rounded())
    result.operations *= factor
    result.bytesRead *= factor
    result.bytesWritten *= factor
    result.weightBytes *= factor
    return result
  }
}

/// The operations of a part of a run.
public struct OperationCounts: Sendable {
  /// How often each operation is done.
  public private(set) var calls: [PlannedOperation: Int] = [:]
  /// What those of a kind and weight format do in all.
  public private(set) var totals: [Group: OperationTotals] = [:]

  /// A kind of operation with a weight format.
  public struct Group: Hashable, Sendable {
    public let kind: PlannedOperation.Kind
    public let format: String
  }

  public init() {}

  mutating func add(_ operation: PlannedOperation, _ work: OperationTotals, calls count: Int) {
    calls[operation, default: 0] += count
    totals[Group(kind: operation.kind, format: operation.format), default: OperationTotals()] += work
  }

  /// Adds other operations, so many times.
  public mutating func add(_ other: OperationCounts, times: Int = 1) {
    for (operation, count) in other.calls { calls[operation, default: 0] += count * times }
    for (group, work) in other.totals { totals[group, default: OperationTotals()] += work * Double(times) }
  }

  /// Those of one kind and weight format.
  public func only(_ group: Group) -> OperationCounts {
    var result = OperationCounts()
    result.calls = calls.filter { $0.key.kind == group.kind && $0.key.format == group.format }
    result.totals = totals.filter { $0.key == group }
    return result
  }

  /// Everything together.
  public var total: OperationTotals { totals.values.reduce(into: OperationTotals()) { $0 += $1 } }
}
