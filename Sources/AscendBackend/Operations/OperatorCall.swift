import CAscend
import TensorCore
import TensorOps

/// The operands of one operator. Descriptors live until both phases are over, as CANN wants it.
final class OperatorCall {
  private let functions: RuntimeFunctions
  private var tensors: [OpaquePointer] = []
  private var lists: [OpaquePointer] = []
  private var scalars: [OpaquePointer] = []
  private var integerArrays: [OpaquePointer] = []
  /// Why an operand could not be brought to the device.
  fileprivate var failure: BackendError?
  /// Where phase one puts the number of bytes of workspace.
  let workspaceSize = UnsafeMutablePointer<UInt64>.allocate(capacity: 1)
  /// Where phase one puts the prepared operator.
  let executor = UnsafeMutablePointer<OpaquePointer?>.allocate(capacity: 1)

  fileprivate init(_ functions: RuntimeFunctions) {
    self.functions = functions
    workspaceSize.initialize(to: 0)
    executor.initialize(to: nil)
  }

  deinit {
    // Lists destroy their members.
    for list in lists { _ = functions.destroyTensorList(list) }
    for tensor in tensors { _ = functions.destroyTensor(tensor) }
    for scalar in scalars { _ = functions.destroyScalar(scalar) }
    for array in integerArrays { _ = functions.destroyIntegers(array) }
    workspaceSize.deallocate()
    executor.deallocate()
  }

  /// An operand. A descriptor that CANN would not make is nil, which phase one refuses.
  func tensor(_ tensor: Tensor, format: aclFormat = ACL_FORMAT_ND) -> OpaquePointer? {
    guard let descriptor = describe(tensor, format) else { return nil }
    tensors.append(descriptor)
    return descriptor
  }

  /// An operand that may be absent.
  func tensor(_ tensor: Tensor?) -> OpaquePointer? { tensor.flatMap { self.tensor($0) } }

  /// A list of operands.
  func list(_ members: [Tensor]) -> OpaquePointer? {
    let descriptors = members.map { describe($0, ACL_FORMAT_ND) }
    guard let list = functions.createTensorList(descriptors, UInt64(descriptors.count)) else {
      tensors += descriptors.compactMap { $0 }
      return nil
    }
    lists.append(list)
    return list
  }

  /// A number; CANN copies it.
  func scalar(_ value: Float) -> OpaquePointer? {
    var value = value
    guard let scalar = functions.createScalar(&value, ACL_FLOAT) else { return nil }
    scalars.append(scalar)
    return scalar
  }

  /// Several whole numbers; CANN copies them.
  func integers(_ values: [Int]) -> OpaquePointer? {
    guard let array = functions.createIntegers(values.map(Int64.init), UInt64(values.count)) else { return nil }
    integerArrays.append(array)
    return array
  }

  /// A view of its whole storage, whose base is aligned as CANN wants it.
  private func describe(_ tensor: Tensor, _ format: aclFormat) -> OpaquePointer? {
    guard let address = address(of: tensor) else { return nil }
    let dimensions = tensor.shape.dimensions.map(Int64.init)
    let strides = tensor.strides.map(Int64.init)
    var stored = Int64(tensor.storage.byteCount / tensor.dtype.byteCount)
    return functions.createTensor(
      dimensions, UInt64(dimensions.count), tensor.dtype.ascendType, strides, Int64(tensor.offset), format, &stored, 1,
      address)
  }

  /// The start of a tensor's storage on the device, where parameters come on demand.
  private func address(of tensor: Tensor) -> UnsafeMutableRawPointer? {
    if let storage = tensor.deviceStorage { return storage.deviceAddress }
    guard let streamed = tensor.storage as? StreamedStorage else { return nil }
    do throws(BackendError) { return try streamed.deviceAddress() } catch {
      failure = failure ?? error
      return nil
    }
  }
}

extension AscendDevice {
  /// Whether an operator exists in this CANN.
  func has(_ name: String) -> Bool { libraries.has(name) && libraries.has(name + "GetWorkspaceSize") }

  /// Puts an operator on the stream: phase one on the operands that the body describes, workspace, phase two.
  /// On the device's thread.
  func call<Prepare>(
    _ name: String, _ type: Prepare.Type, _ prepare: (OperatorCall, Prepare) -> aclnnStatus
  ) throws(BackendError) {
    guard let first = libraries.function(name + "GetWorkspaceSize", type),
      let second = libraries.function(name, aclnnRunFunction.self)
    else {
      throw .libraryFailure(
        library: libraries.paths.joined(separator: ", "), operation: name,
        status: "that it has no such function, which CANN 8.2 or a later 8 has")
    }
    let call = OperatorCall(functions)
    try withExtendedLifetime(call) { () throws(BackendError) in
      let status = prepare(call, first)
      if let failure = call.failure {
        // An operator that can do without the operand was prepared.
        if status == 0 { _ = functions.destroyExecutor(call.executor.pointee) }
        throw failure
      }
      try check(status, name + "GetWorkspaceSize")
      let byteCount = call.workspaceSize.pointee
      let workspace: UnsafeMutableRawPointer?
      do throws(BackendError) {
        workspace = try self.workspace(byteCount: Int(byteCount), for: name)
      } catch {
        // Phase two, which would use the executor up, does not come.
        _ = functions.destroyExecutor(call.executor.pointee)
        throw error
      }
      try check(second(workspace, byteCount, call.executor.pointee, stream), name)
    }
  }

  private func check(_ status: aclnnStatus, _ function: String) throws(BackendError) {
    if status == 0 { return }
    throw .libraryFailure(library: "CANN", operation: function, status: "\(status): \(functions.message)")
  }
}

extension DType {
  /// CANN's number for the type.
  var ascendType: aclDataType {
    switch self {
    case .float32: ACL_FLOAT
    case .float16: ACL_FLOAT16
    case .bfloat16: ACL_BF16
    case .int8: ACL_INT8
    case .uint8: ACL_UINT8
    case .int32: ACL_INT32
    case .int64: ACL_INT64
    case .bool: ACL_BOOL
    case .float64, .float8E4M3, .float8E5M2, .int16: ACL_DT_UNDEFINED
    }
  }
}
