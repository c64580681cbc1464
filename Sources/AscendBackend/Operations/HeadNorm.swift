import CAscend
import Synchronization
public import TensorCore
public import TensorOps

// Normalization and rotation of queries and keys.

extension AscendBackend {
  /// `aclnnRmsNorm`, then `aclnnRotaryPositionEmbedding` in float32 between two `aclnnCast`: the tables are float32, and
  /// the operator takes one type for all. Rank 4; D even, below 896; B · N below 1000; the result dense.
  public func headNorm(
    _ x: Tensor, weight: Weight?, epsilon: Float, rotary: RotaryTable?
  ) throws(BackendError) -> Tensor {
    precondition(x.shape.rank == 4, "head norm: \(x)")
    return try device.perform { () throws(BackendError) in
      let normalized =
        if let weight { try rootMeanSquareNorm(x, weight.tensor, epsilon) } else { x }
      guard let rotary else { return try dense(normalized) }
      precondition(rotary.count == x.shape[1] && rotary.cosines.shape[1] * 2 == x.shape[3], "head norm: \(x) and table")
      let table = try rotaryTables.table(of: rotary, on: self)
      let wide = try converted(normalized, to: .float32)
      let rotated = try result(
        x.shape, .float32, of: "aclnnRotaryPositionEmbedding", aclnnRotaryPositionEmbeddingFunction.self
      ) { call, rotate, out in
        rotate(
          call.tensor(wide), call.tensor(table.cosines), call.tensor(table.sines),
          rotary.pairing == .interleaved ? 1 : 0, out, call.workspaceSize, call.executor)
      }
      return try converted(rotated, to: activationType)
    }
  }
}

/// The device's copies of rotary tables `[1, L, 1, D]`, each angle standing for both channels of its pair: the few that
/// were used last, since blocks share them.
final class DeviceRotaryTables: Sendable {
  struct Table: Sendable {
    let cosines: Tensor
    let sines: Tensor
  }

  private struct Entry {
    /// Keeps the host's tables alive, so that nothing else can take their place in memory.
    let source: RotaryTable
    let table: Table

    func isCopy(of other: RotaryTable) -> Bool {
      func isSame(_ a: Tensor, _ b: Tensor) -> Bool {
        a.storage === b.storage && a.offset == b.offset && a.shape == b.shape && a.strides == b.strides
      }
      return source.pairing == other.pairing && isSame(source.cosines, other.cosines)
        && isSame(source.sines, other.sines)
    }
  }

  private let entries = Mutex<[Entry]>([])
  private static let capacity = 4

  /// On the device's thread.
  func table(of source: RotaryTable, on backend: AscendBackend) throws(BackendError) -> Table {
    let known = entries.withLock { entries in
      entries.firstIndex { $0.isCopy(of: source) }.map { index in
        let entry = entries.remove(at: index)
        entries.append(entry)
        return entry.table
      }
    }
    if let known { return known }
    func uploaded(_ angles: Tensor) throws(BackendError) -> Tensor {
      try backend.uploaded([1, angles.shape[0], 1, 2 * angles.shape[1]], .float32) {
        Self.widened(angles, source.pairing)
      }
    }
    let table = Table(cosines: try uploaded(source.cosines), sines: try uploaded(source.sines))
    entries.withLock { entries in
      if entries.count == Self.capacity { entries.removeFirst() }
      entries.append(Entry(source: source, table: table))
    }
    return table
  }

  /// `[L, D/2]` to `[1, L, 1, D]`.
  private static func widened(_ angles: Tensor, _ pairing: RotaryTable.Pairing) -> Tensor {
    let values = angles.floats()
    let (count, half) = (angles.shape[0], angles.shape[1])
    var wide = [Float](repeating: 0, count: count * half * 2)
    for token in 0..<count {
      for pair in 0..<half {
        let (first, second) =
          switch pairing {
          case .interleaved: (2 * pair, 2 * pair + 1)
          case .halves: (pair, pair + half)
          }
        wide[token * 2 * half + first] = values[token * half + pair]
        wide[token * 2 * half + second] = values[token * half + pair]
      }
    }
    return Tensor(wide, shape: [1, count, 1, 2 * half])
  }
}
