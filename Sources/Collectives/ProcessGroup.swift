public import TensorCore

/// Why ranks could not exchange data.
public struct CollectiveError: Error, CustomStringConvertible {
  public let operation: String
  public let reason: String

  public init(operation: String, reason: String) {
    self.operation = operation
    self.reason = reason
  }

  public var description: String { "communication failed: \(operation): \(reason)" }
}

/// A tensor on its way to a rank.
public struct OutgoingMessage: Sendable {
  public let tensor: Tensor
  public let destination: Int

  /// - Parameter tensor: contiguous; in host memory, or on the device where the group takes such tensors.
  public init(_ tensor: Tensor, to destination: Int) {
    precondition(tensor.count == 0 || tensor.isContiguous, "message: \(tensor) is not contiguous")
    self.tensor = tensor
    self.destination = destination
  }
}

/// A tensor that a rank will send.
public struct IncomingMessage: Sendable {
  public let shape: Shape
  public let dtype: DType
  public let source: Int
  /// Where it is wanted.
  public let place: MessagePlace

  public init(_ shape: Shape, _ dtype: DType = .float32, from source: Int, place: MessagePlace = .host) {
    self.shape = shape
    self.dtype = dtype
    self.source = source
    self.place = place
  }
}

/// Whose memory a message is in; the same for its sender and its receiver.
public enum MessagePlace: Sendable {
  case host
  /// The device that computes.
  case device
}

/// What the messages of a transfer are together. All ranks say the same, so that a group may send them by one operation of all.
public enum TransferPattern: Sendable {
  /// Whatever the messages say.
  case messages
  /// Every rank sends to every other, be it nothing.
  case allToAll
  /// Every rank sends one tensor to all.
  case allGather
  /// One rank sends one tensor to all, itself included.
  case broadcast
}

/// What the same elements of all ranks' tensors become.
public enum Reduction: Sendable {
  case sum
  case maximum
}

/// A transfer under way.
public protocol PendingTransfer: Sendable {
  /// Waits, and returns what was received, in the order in which it was asked for. To be called once.
  func wait() throws(CollectiveError) -> [Tensor]
}

/// Ranks that work on the same sample. With one rank every operation is the identity, so no caller asks whether it is
/// distributed.
///
/// All ranks call the same operations in the same order; messages between two ranks arrive in the order in which they were sent.
/// The parts that ranks exchange may differ in shape, and a receiver says which shapes it expects. A group is used by one thread.
public protocol ProcessGroup: Sendable {
  /// This rank's number in `0..<size`.
  var rank: Int { get }
  var size: Int { get }

  /// What this rank has sent so far and how long it took, subgroups included.
  var statistics: CommunicationStatistics { get }

  /// Whether messages may be tensors of the device that computes. Otherwise they go by way of the host.
  var takesDeviceTensors: Bool { get }

  /// Starts sending and receiving; returns at once. Messages of a rank to itself are handed over as they are.
  func transfer(
    sending: [OutgoingMessage], receiving: [IncomingMessage], pattern: TransferPattern
  ) throws(CollectiveError) -> any PendingTransfer

  /// Combines the ranks' tensors, of one shape and type, element by element; every rank gets the result.
  ///
  /// Tensors in host memory, of float32 or int32, are combined in the order of ranks, so that all get the same bits. How devices
  /// order sums is their own affair: of floating-point numbers not even all ranks need have the same sum.
  func allReduce(_ tensor: Tensor, _ reduction: Reduction) throws(CollectiveError) -> Tensor

  /// The group of the ranks that give the same color, ordered by `key`.
  func subgroup(color: Int, key: Int) throws(CollectiveError) -> any ProcessGroup

  /// Ends the work of all ranks. Where ranks are processes it does not return.
  func abort(reason: String, status: Int32)
}

extension ProcessGroup {
  public var takesDeviceTensors: Bool { false }

  /// Starts sending and receiving whatever the messages say.
  public func transfer(
    sending: [OutgoingMessage], receiving: [IncomingMessage]
  ) throws(CollectiveError) -> any PendingTransfer {
    try transfer(sending: sending, receiving: receiving, pattern: .messages)
  }
}
