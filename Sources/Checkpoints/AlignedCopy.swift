import Synchronization
import TensorCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Bytes of another storage at an aligned address. The copy is made when the address is first asked for.
final class AlignedCopy: Storage {
  private let source: any Storage
  private let bytes: Range<Int>
  private let copy = Mutex<HostStorage?>(nil)

  init(of source: any Storage, bytes: Range<Int>) {
    self.source = source
    self.bytes = bytes
  }

  var byteCount: Int { bytes.count }

  var hostAddress: UnsafeMutableRawPointer? {
    copy.withLock { copy in
      if copy == nil, let address = source.hostAddress {
        let made = HostStorage(byteCount: bytes.count)
        if let target = made.hostAddress { memcpy(target, address + bytes.lowerBound, bytes.count) }
        source.release(bytes)
        copy = made
      }
      return UInt(bitPattern: copy?.hostAddress)
    }.pointer
  }

  func prefetch(_ range: Range<Int>) {
    source.prefetch(bytes.lowerBound + range.lowerBound..<bytes.lowerBound + range.upperBound)
  }
}

extension UInt {
  /// Pointers are not `Sendable` and cannot leave a lock as themselves.
  fileprivate var pointer: UnsafeMutableRawPointer? { UnsafeMutableRawPointer(bitPattern: self) }
}
