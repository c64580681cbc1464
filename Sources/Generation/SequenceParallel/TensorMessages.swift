import Collectives
import TensorCore
import TensorOps

/// A backend's tensors as a group sends them: as they are where it takes tensors of the device, else as float32 by way of the
/// host.
struct TensorMessages {
  let group: any ProcessGroup
  let backend: any Backend

  /// Video and text tokens as one dense tensor, ready to be sent; the tensor itself where it already is.
  func outgoing(_ streams: [Tensor]) throws(BackendError) -> Tensor {
    let tensor = streams.count == 1 ? streams[0] : try backend.concatenate(streams, axis: 1)
    return group.takesDeviceTensors ? try backend.contiguous(tensor) : try backend.download(tensor)
  }

  /// What another rank made of its tensor.
  func incoming(_ shape: Shape, from source: Int) -> IncomingMessage {
    group.takesDeviceTensors
      ? IncomingMessage(shape, backend.activationType, from: source, place: .device)
      : IncomingMessage(shape, from: source)
  }

  /// A tensor that has arrived, for the backend's operations.
  func arrived(_ tensor: Tensor) throws(BackendError) -> Tensor {
    group.takesDeviceTensors ? tensor : try backend.upload(tensor)
  }

  /// Gives every rank the tensor of rank `root`, of the backend's type; only that rank's is looked at.
  func broadcast(_ tensor: Tensor?, shape: Shape, from root: Int) throws(BackendError) -> Tensor {
    let mine = try tensor.map { (tensor) throws(BackendError) in try outgoing([tensor]) }
    let expected = incoming(shape, from: root)
    let given = try communicating { () throws(CollectiveError) in
      try group.broadcast(mine, shape: shape, expected.dtype, from: root, place: expected.place)
    }
    return try arrived(given)
  }

  /// Combines the ranks' tensors, of one shape and of the backend's type.
  func allReduce(_ tensor: Tensor, _ reduction: Reduction) throws(BackendError) -> Tensor {
    let mine = try outgoing([tensor])
    return try arrived(communicating { () throws(CollectiveError) in try group.allReduce(mine, reduction) })
  }

  func start(
    _ sending: [OutgoingMessage], _ receiving: [IncomingMessage], _ pattern: TransferPattern
  ) throws(BackendError) -> any PendingTransfer {
    try communicating { () throws(CollectiveError) in
      try group.transfer(sending: sending, receiving: receiving, pattern: pattern)
    }
  }

  /// The tensors of a transfer, for the backend's operations. To be called once.
  func wait(_ transfer: any PendingTransfer) throws(BackendError) -> [Tensor] {
    let tensors = try communicating { () throws(CollectiveError) in try transfer.wait() }
    return try tensors.map { (tensor) throws(BackendError) in try arrived(tensor) }
  }
}

/// Reports what went wrong between ranks as an operation's failure.
func communicating<Result>(_ body: () throws(CollectiveError) -> Result) throws(BackendError) -> Result {
  do { return try body() } catch {
    throw BackendError.communicationFailure(operation: error.operation, reason: error.reason)
  }
}
