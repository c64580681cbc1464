import Collectives
import TensorCore
import TensorOps

/// How far a cache's signal has moved, measured over all ranks that share the sample: sums are reduced before they are
/// divided, so every rank gets the same bits and decides alike.
struct SignalDistance {
  let group: any ProcessGroup

  /// `mean|x - y| / mean|reference|`
  /// - Parameter epsilon: is added to the denominator, as some rules have it.
  func relative(
    _ x: Tensor, _ y: Tensor, over reference: Tensor, epsilon: Double = 0, on backend: any Backend
  ) throws(BackendError) -> Double {
    let sums = try total([
      backend.absoluteSum(x, minus: y), backend.absoluteSum(reference, minus: nil), Double(x.count),
    ])
    return sums[0] / (sums[1] + epsilon * sums[2])
  }

  /// Sums over all ranks.
  func total(_ values: [Double]) throws(BackendError) -> [Double] {
    do { return try group.sum(values) } catch {
      throw .libraryFailure(library: "the process group", operation: "step cache", status: error.reason)
    }
  }
}
