import CAscend
import TensorOps

/// Device memory in segments that are divided among tensors. A block that is given back may be taken again at once: all
/// work is on one stream, so whoever takes it comes after whoever gave it. Confined to the device's thread.
final class MemoryPool {
  /// A piece of device memory.
  struct Block: @unchecked Sendable {
    // Sendable: an address is a number until the device's thread uses it.
    let address: UnsafeMutableRawPointer
    /// What is reserved, padding included.
    let byteCount: Int
  }

  private final class Segment {
    let address: UnsafeMutableRawPointer
    let byteCount: Int
    /// Free ranges in ascending order, no two adjacent.
    var free: [Range<Int>]

    init(address: UnsafeMutableRawPointer, byteCount: Int) {
      self.address = address
      self.byteCount = byteCount
      free = [0..<byteCount]
    }

    var isUnused: Bool { free == [0..<byteCount] }
  }

  /// How memory is taken from the device.
  enum Policy: Sendable {
    /// In segments of at least this many bytes, which stay with the pool.
    case segments(byteCount: Int)
    /// Tensor by tensor, given back after a synchronization: slow, and every use after the end is an error.
    case direct
  }

  private let functions: RuntimeFunctions
  private let policy: Policy
  /// Waits until nothing on the device uses memory that has been given back.
  private let synchronize: () -> Void
  private var segments: [Segment] = []

  private(set) var bytesInUse = 0
  private(set) var peakBytesInUse = 0
  private(set) var bytesReserved = 0

  /// Blocks begin at multiples of this, as CANN's own framework has them.
  private static let alignment = 512
  /// What kernels may read beyond the end.
  private static let padding = 32
  /// The size of a device page.
  private static let page = 2 << 20

  /// The least that is taken from a device at a time: 64 MiB, of devices with less than 32 GiB a part of their memory, so that what
  /// is left over in segments stays small beside it.
  static func segmentSize(ofDeviceWith byteCount: Int) -> Int {
    min(max(byteCount / 512, page).roundedUp(to: page), 64 << 20)
  }

  init(functions: RuntimeFunctions, policy: Policy, synchronize: @escaping () -> Void) {
    self.functions = functions
    self.policy = policy
    self.synchronize = synchronize
  }

  /// Takes uninitialized memory.
  /// - Throws: `BackendError.outOfMemory` when the device has none left, even without what the pool keeps.
  func allocate(byteCount: Int, for operation: String) throws(BackendError) -> Block {
    let size = (max(byteCount, 1) + MemoryPool.padding).roundedUp(to: MemoryPool.alignment)
    let block = if let known = find(size) { known } else { try allocateFromDevice(size, operation) }
    bytesInUse += block.byteCount
    peakBytesInUse = max(peakBytesInUse, bytesInUse)
    return block
  }

  /// Gives memory back.
  func free(_ block: Block) {
    bytesInUse -= block.byteCount
    guard
      let segment = segments.first(where: { $0.address <= block.address && block.address < $0.address + $0.byteCount })
    else { return give(block.address, block.byteCount) }
    let start = block.address - segment.address
    var range = start..<start + block.byteCount
    var index = segment.free.firstIndex { $0.lowerBound >= range.upperBound } ?? segment.free.count
    if index < segment.free.count, segment.free[index].lowerBound == range.upperBound {
      range = range.lowerBound..<segment.free.remove(at: index).upperBound
    }
    if index > 0, segment.free[index - 1].upperBound == range.lowerBound {
      index -= 1
      range = segment.free.remove(at: index).lowerBound..<range.upperBound
    }
    segment.free.insert(range, at: index)
  }

  /// Lets the peak begin again with what is in use now.
  func resetPeak() { peakBytesInUse = bytesInUse }

  /// Returns segments that no tensor uses to the device.
  func trim() {
    guard segments.contains(where: \.isUnused) else { return }
    synchronize()
    for segment in segments where segment.isUnused { release(segment.address, segment.byteCount) }
    segments.removeAll(where: \.isUnused)
  }

  /// The smallest free range that holds `size` bytes.
  private func find(_ size: Int) -> Block? {
    var best: (segment: Segment, index: Int, size: Int)?
    for segment in segments {
      for (index, range) in segment.free.enumerated() where range.count >= size && range.count < best?.size ?? .max {
        best = (segment, index, range.count)
      }
    }
    guard let (segment, index, _) = best else { return nil }
    let range = segment.free[index]
    if range.count == size {
      segment.free.remove(at: index)
    } else {
      segment.free[index] = range.lowerBound + size..<range.upperBound
    }
    return Block(address: segment.address + range.lowerBound, byteCount: size)
  }

  private func allocateFromDevice(_ size: Int, _ operation: String) throws(BackendError) -> Block {
    guard case .segments(let segmentSize) = policy else {
      return Block(address: try take(size, operation), byteCount: size)
    }
    // A large tensor takes the place of what other sizes have left: segments of every size that was ever needed would add up to
    // twice what is in use.
    if size >= segmentSize { trim() }
    let exact = size.roundedUp(to: MemoryPool.page)
    var byteCount = max(exact, segmentSize)
    var address = request(byteCount).address
    if address == nil && byteCount > exact {
      byteCount = exact
      address = request(byteCount).address
    }
    if address == nil {
      byteCount = exact
      address = try take(exact, operation)
    }
    guard let address else { preconditionFailure("memory pool: neither memory nor an error") }
    segments.append(Segment(address: address, byteCount: byteCount))
    guard let block = find(size) else { preconditionFailure("memory pool: a new segment has no room") }
    return block
  }

  /// Device memory, for which the pool gives up what it keeps where that helps.
  private func take(_ size: Int, _ operation: String) throws(BackendError) -> UnsafeMutableRawPointer {
    if let address = request(size).address { return address }
    trim()
    let (address, status) = request(size)
    if let address { return address }
    let message = functions.message
    if status != CASCEND_RT_MEMORY_ALLOCATION.signed && status != CASCEND_RT_DEVICE_OOM.signed {
      throw .libraryFailure(library: "CANN", operation: "aclrtMalloc for \(operation)", status: "\(status): \(message)")
    }
    throw .outOfMemory(
      operation: operation, byteCount: size,
      remedy: "\(bytesInUse) are in use; use smaller tiles, a smaller video, more devices or --use-cpu-offload")
  }

  private func request(_ size: Int) -> (address: UnsafeMutableRawPointer?, status: aclError) {
    var address: UnsafeMutableRawPointer?
    let status = functions.allocate(&address, size, ACL_MEM_MALLOC_HUGE_FIRST)
    if status != 0 { return (nil, status) }
    bytesReserved += size
    return (address, 0)
  }

  /// Gives one tensor's own allocation back.
  private func give(_ address: UnsafeMutableRawPointer, _ byteCount: Int) {
    synchronize()
    release(address, byteCount)
  }

  private func release(_ address: UnsafeMutableRawPointer, _ byteCount: Int) {
    // A failure leaves memory behind, which whoever needs it will hear of.
    _ = functions.free(address)
    bytesReserved -= byteCount
  }
}

extension Int {
  /// The next multiple of a power of two.
  func roundedUp(to multiple: Int) -> Int { (self + multiple - 1) & ~(multiple - 1) }
}

extension Int {
  /// As CANN's codes are compared.
  var signed: aclError { aclError(self) }
}
