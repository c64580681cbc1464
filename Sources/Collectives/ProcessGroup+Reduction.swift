public import TensorCore

// Reductions of tensors in host memory: every rank gets all ranks' tensors and combines them by itself.

extension ProcessGroup {
  public func allReduce(_ tensor: Tensor, _ reduction: Reduction) throws(CollectiveError) -> Tensor {
    if size == 1 { return tensor }
    guard [.float32, .int32].contains(tensor.dtype) else {
      throw CollectiveError(
        operation: "reduction", reason: "expected float32 or int32 in host memory, found \(tensor.dtype)")
    }
    let all = try startAllGather(
      tensor, receiving: (0..<size).map { IncomingMessage(tensor.shape, tensor.dtype, from: $0) }
    ).wait()
    if tensor.dtype == .float32 {
      return Tensor(combined(all.map { $0.floats() }, reduction == .sum ? (+) : max), shape: tensor.shape)
    }
    let integers = all.map { $0.integers().map { Int32(truncatingIfNeeded: $0) } }
    return Tensor(combined(integers, reduction == .sum ? (&+) : max), shape: tensor.shape)
  }

  /// The elements of all ranks, in the order of ranks.
  private func combined<Element>(_ ranks: [[Element]], _ combine: (Element, Element) -> Element) -> [Element] {
    ranks.dropFirst().reduce(ranks[0]) { zip($0, $1).map(combine) }
  }
}
