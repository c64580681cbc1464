import CAscend
import Collectives
import TensorCore
import TensorOps

// Sums and maxima over the devices of all ranks. On the device's thread.

extension Communicator {
  /// The device's stream waits for the result; the host does not.
  /// - Parameter tensor: dense, on the device.
  func allReduce(_ tensor: Tensor, _ reduction: Reduction) throws(CollectiveError) -> Tensor {
    guard let type = tensor.dtype.collectiveType, let source = tensor.deviceStart else {
      throw CollectiveError(
        operation: "HcclAllReduce", reason: "expected elements of a type that HCCL has, found \(tensor.dtype)")
    }
    if tensor.count == 0 { return tensor }
    let result = try communicating("HcclAllReduce") { () throws(BackendError) in
      try device.tensor(tensor.shape, tensor.dtype, for: "a reduction over all devices")
    }
    guard let target = result.deviceStart else { preconditionFailure("reduction: \(result) is not on the device") }
    let operation = reduction == .sum ? HCCL_REDUCE_SUM : HCCL_REDUCE_MAX
    let started = try start("HcclAllReduce", copies: []) { functions, handle, stream in
      functions.allReduce(source, target, UInt64(tensor.count), type, operation, handle, stream)
    }
    // From here on whoever takes the memory of either comes after the operation.
    try withExtendedLifetime((tensor, result)) { () throws(CollectiveError) in try finish(started) }
    return result
  }

  /// How often each rank is among the devices of all, once where all is well. In a dry run nobody else is there.
  func rollCall(rank: Int, of size: Int) throws(CollectiveError) -> [Int] {
    let mine = Tensor((0..<size).map { $0 == rank ? Int32(1) : 0 }, shape: [size])
    let sum = Tensor(uninitialized: [size], .int32)
    let counted = try communicating("roll call of the devices") { () throws(BackendError) in
      let tensor = try device.tensor(mine.shape, mine.dtype, for: "the roll call of the devices")
      try withExtendedLifetime(mine) { () throws(BackendError) in
        try device.copy(device.isDry ? nil : mine.hostPointer, to: tensor, operation: "the roll call of the devices")
      }
      return tensor
    }
    let result = try allReduce(counted, .sum)
    try communicating("roll call of the devices") { () throws(BackendError) in
      try device.copy(result, to: sum.mutableHostPointer, operation: "the roll call of the devices")
    }
    return device.isDry ? [Int](repeating: 1, count: size) : sum.integers()
  }
}
