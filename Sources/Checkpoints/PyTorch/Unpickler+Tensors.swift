import TensorCore

// Storages and views of them, as `torch.save` describes them.

extension Unpickler {
  private static let maximumRank = 32

  /// A storage from `("storage", type, key, location, count)`.
  func storage(_ identifier: PickleValue) throws(CheckpointError) -> PickleStorage {
    guard case .tuple(let index) = identifier else { throw malformed("a storage's description", identifier.summary) }
    let parts = containers.sequences[index]
    if parts.count == 5, case .string("storage") = parts[0], case .global(let type) = parts[1],
      case .string(let key) = parts[2], case .string = parts[3], case .integer(let count) = parts[4], count >= 0
    {
      switch type {
      case .storageType(let dtype): return PickleStorage(key: key, dtype: dtype, count: count)
      case .otherStorageType(let name): return PickleStorage(key: key, dtype: nil, otherType: name, count: count)
      default: break
      }
    }
    throw refused("persistent identifier (\(parts.prefix(5).map(\.summary).joined(separator: ", ")))")
  }

  /// A tensor, or what cannot be read as one: of another type of numbers, or with flags such as "conjugated" that change
  /// what the numbers mean.
  func value(ofTensor arguments: [PickleValue], typed: Bool) throws(CheckpointError) -> PickleValue {
    if case .opaque(let name)? = arguments.first { return .opaque(name) }
    if case .storage(let storage)? = arguments.first, let name = storage.otherType { return .opaque(name) }
    if typed, arguments.count > 6, case .global(.harmless(let name)) = arguments[6] { return .opaque(name) }
    if let extra = arguments.dropFirst(typed ? 7 : 6).first, !isEmpty(extra) {
      return .opaque("torch.Tensor with flags")
    }
    return .tensor(try tensor(arguments, typed: typed))
  }

  /// A tensor from `(storage, offset, size, stride, requires_grad, hooks, …)`.
  private func tensor(_ arguments: [PickleValue], typed: Bool) throws(CheckpointError) -> PickleTensor {
    guard arguments.count >= (typed ? 7 : 6), case .storage(let storage) = arguments[0],
      case .integer(let offset) = arguments[1], let dimensions = sizes(arguments[2]), let strides = sizes(arguments[3])
    else { throw malformed("a tensor's storage, offset, size and stride", "other values") }
    let dtype: DType
    if typed {
      guard case .global(.dtype(let stated)) = arguments[6] else {
        throw malformed("a tensor's type", arguments[6].summary)
      }
      dtype = stated
    } else {
      guard let stated = storage.dtype else { throw malformed("a storage with a type", "bytes") }
      dtype = stated
    }
    guard dimensions.count <= Unpickler.maximumRank, dimensions.count == strides.count,
      strides.allSatisfy({ $0 >= 0 }), offset >= 0, let count = Shape.elementCount(of: dimensions)
    else {
      throw malformed("sizes, strides and an offset", "sizes \(dimensions), strides \(strides), offset \(offset)")
    }

    let available = storage.dtype == nil ? storage.count / dtype.byteCount : storage.count
    var last = (offset, false)
    for (extent, stride) in zip(dimensions, strides) where count > 0 {
      let (distance, overflow) = (extent - 1).multipliedReportingOverflow(by: stride)
      let (sum, sumOverflow) = last.0.addingReportingOverflow(distance)
      last = (sum, last.1 || overflow || sumOverflow)
    }
    // A view that repeats elements could claim any size.
    guard count == 0 || (!last.1 && last.0 < available && count <= available) else {
      throw malformed(
        "a view of a storage of \(available) elements", "sizes \(dimensions), strides \(strides), offset \(offset)")
    }
    guard !count.multipliedReportingOverflow(by: dtype.byteCount).overflow else {
      throw malformed("a size below 2^63 bytes", "\(dimensions) of \(dtype)")
    }
    return PickleTensor(storage: storage, dtype: dtype, shape: Shape(dimensions), strides: strides, offset: offset)
  }

  private func isEmpty(_ value: PickleValue) -> Bool {
    switch value {
    case .none: true
    case .dictionary(let index): containers.dictionaries[index].isEmpty
    default: false
    }
  }

  /// A tuple or list of numbers.
  func sizes(_ value: PickleValue) -> [Int]? {
    let index: Int
    switch value {
    case .tuple(let place), .list(let place): index = place
    default: return nil
    }
    // Longer ones are no sizes; a shared list could be asked for again and again.
    guard containers.sequences[index].count <= Unpickler.maximumRank else { return nil }
    var result: [Int] = []
    for element in containers.sequences[index] {
      guard case .integer(let number) = element else { return nil }
      result.append(number)
    }
    return result
  }
}
