import CAscend
import TensorCore
import TensorOps

/// Dense tensors one after another in device memory, as HCCL wants what goes to or comes from the ranks of a communicator.
struct MessageRun {
  /// The first element.
  let address: UnsafeMutableRawPointer
  /// Elements of each part, and where it begins, in elements.
  let counts: [Int]
  let starts: [Int]
  /// What is to be copied together before it can be sent.
  let copies: [DeviceCopy]
  /// What the memory belongs to.
  let owners: [Tensor]

  /// Tensors that are sent, by part.
  ///
  /// Where they already follow each other, as those do that a ring passes on, they stay where they are.
  init(sending parts: [[Tensor]], _ dtype: DType, on device: AscendDevice) throws(BackendError) {
    counts = parts.map { $0.reduce(0) { $0 + $1.count } }
    starts = MessageRun.starts(counts)
    let tensors = parts.joined().filter { $0.count > 0 }
    if let first = tensors.first, MessageRun.followEachOther(tensors), let address = first.deviceStart {
      self.address = address
      (copies, owners) = ([], tensors)
      return
    }
    let buffer = try device.tensor([max(counts.reduce(0, +), 1)], dtype, for: "messages to other devices")
    guard let address = buffer.deviceStart else { preconditionFailure("messages: \(buffer) is not on the device") }
    self.address = address
    var target = address
    var copies: [DeviceCopy] = []
    for tensor in tensors {
      guard let source = tensor.deviceStart else { preconditionFailure("messages: \(tensor) is not on the device") }
      copies.append(DeviceCopy(source: source, target: target, byteCount: tensor.byteCount))
      target += tensor.byteCount
    }
    self.copies = copies
    owners = tensors + [buffer]
  }

  /// One tensor that every part is.
  init(repeating tensor: Tensor, parts: [Bool], on device: AscendDevice) throws(BackendError) {
    try self.init(sending: [[tensor]], tensor.dtype, on: device)
    let count = tensor.count
    self = MessageRun(
      address: address, counts: parts.map { $0 ? count : 0 }, starts: parts.map { _ in 0 }, copies: copies,
      owners: owners)
  }

  private init(address: UnsafeMutableRawPointer, counts: [Int], starts: [Int], copies: [DeviceCopy], owners: [Tensor]) {
    (self.address, self.counts, self.starts, self.copies, self.owners) = (address, counts, starts, copies, owners)
  }

  /// Room for tensors that are received, by part, and the tensors in it.
  static func receiving(
    _ parts: [[Shape]], _ dtype: DType, on device: AscendDevice
  ) throws(BackendError) -> (run: MessageRun, tensors: [[Tensor]]) {
    let counts = parts.map { $0.reduce(0) { $0 + $1.count } }
    let buffer = try device.tensor([max(counts.reduce(0, +), 1)], dtype, for: "messages from other devices")
    guard let address = buffer.deviceStart else { preconditionFailure("messages: \(buffer) is not on the device") }
    var offset = 0
    let tensors = parts.map { part in
      part.map { shape in
        defer { offset += shape.count }
        return Tensor(shape: shape, dtype: dtype, offset: offset, storage: buffer.storage)
      }
    }
    let run = MessageRun(address: address, counts: counts, starts: starts(counts), copies: [], owners: [buffer])
    return (run, tensors)
  }

  private static func starts(_ counts: [Int]) -> [Int] {
    var next = 0
    return counts.map { count in
      defer { next += count }
      return next
    }
  }

  /// Whether each tensor begins where the one before ends.
  private static func followEachOther(_ tensors: [Tensor]) -> Bool {
    zip(tensors, tensors.dropFirst()).allSatisfy { $0.storage === $1.storage && $0.offset + $0.count == $1.offset }
  }
}

extension Tensor {
  /// The address of the first element on the device.
  var deviceStart: UnsafeMutableRawPointer? { deviceStorage.map { $0.deviceAddress + offset * dtype.byteCount } }
}

extension DType {
  /// HCCL's number for the type.
  var collectiveType: HcclDataType? {
    switch self {
    case .float32: HCCL_DATA_TYPE_FP32
    case .float16: HCCL_DATA_TYPE_FP16
    case .bfloat16: HCCL_DATA_TYPE_BFP16
    case .int8: HCCL_DATA_TYPE_INT8
    case .uint8, .bool: HCCL_DATA_TYPE_UINT8
    case .int32: HCCL_DATA_TYPE_INT32
    case .int64: HCCL_DATA_TYPE_INT64
    case .float64, .float8E4M3, .float8E5M2, .int16: nil
    }
  }
}
