import TensorCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What a process holds in memory, in bytes.
struct MemorySample: Sendable {
  /// Tensors that live, as the pool of their memory counts them.
  var tensors = 0
  /// Resident memory of the process itself, and resident pages of files: weights.
  var anonymous = 0
  var files = 0
  /// What the process has read from the disk since it began.
  var diskReads: Int?
}

/// Takes samples from `/proc`, whose files stay open: a sample costs a few microseconds. Without them only tensors are known.
final class MemorySampler: Sendable {
  private let statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
  private let io = open("/proc/self/io", O_RDONLY | O_CLOEXEC)
  private let pageSize = sysconf(Int32(_SC_PAGESIZE))

  init() {}

  deinit { for descriptor in [statm, io] where descriptor >= 0 { close(descriptor) } }

  func sample() -> MemorySample {
    var sample = MemorySample(tensors: HostBufferPool.shared.statistics.bytesInUse)
    let pages = Self.numbers(statm)
    if pages.count > 2 {
      sample.files = pages[2] * pageSize
      sample.anonymous = max(0, pages[1] - pages[2]) * pageSize
    }
    // rchar, wchar, syscr, syscw, read_bytes, …
    let counts = Self.numbers(io)
    if counts.count > 4 { sample.diskReads = counts[4] }
    return sample
  }

  /// The numbers in a small file, in order.
  private static func numbers(_ descriptor: Int32) -> [Int] {
    if descriptor < 0 { return [] }
    return withUnsafeTemporaryAllocation(byteCount: 512, alignment: 1) { buffer in
      let count = pread(descriptor, buffer.baseAddress, buffer.count, 0)
      var numbers: [Int] = []
      var current: Int?
      for byte in buffer.prefix(max(0, count)) {
        if (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) {
          current = (current ?? 0) &* 10 &+ Int(byte - UInt8(ascii: "0"))
        } else if let number = current {
          numbers.append(number)
          current = nil
        }
      }
      if let current { numbers.append(current) }
      return numbers
    }
  }
}
