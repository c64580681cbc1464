public import TensorCore

/// What a rank sends to itself: handed over, never copied.
public struct SelfMessages: Sendable {
  private var queue: ArraySlice<Tensor>

  public init(_ sending: [OutgoingMessage], rank: Int) {
    queue = sending.filter { $0.destination == rank }.map(\.tensor)[...]
  }

  /// The next of them, which is the one expected.
  public mutating func next(_ expected: IncomingMessage) -> Tensor {
    guard let tensor = queue.popFirst() else { preconditionFailure("transfer: no message for \(expected)") }
    precondition(
      tensor.shape == expected.shape && tensor.dtype == expected.dtype,
      "transfer: \(tensor) for \(expected.dtype)\(expected.shape)")
    return tensor
  }
}
