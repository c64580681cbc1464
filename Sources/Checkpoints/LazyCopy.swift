import Synchronization
import TensorCore

/// Bytes made from those of another storage, where these cannot be used as they lie: at an aligned address, in another
/// order, or inflated. The copy is made when the address is first asked for, and dropped when all of it is released.
final class LazyCopy: Storage {
  typealias Fill = @Sendable (_ source: UnsafeRawBufferPointer, _ target: UnsafeMutableRawBufferPointer) -> Void

  let byteCount: Int
  private let source: any Storage
  private let bytes: Range<Int>
  private let fill: Fill
  private let copy = Mutex<HostStorage?>(nil)

  /// - Parameters:
  ///   - byteCount: The size of the copy.
  ///   - source: Where it is made from, and
  ///   - bytes: what of that `fill` gets.
  init(byteCount: Int, of source: any Storage, bytes: Range<Int>, fill: @escaping Fill) {
    self.byteCount = byteCount
    self.source = source
    self.bytes = bytes
    self.fill = fill
  }

  var hostAddress: UnsafeMutableRawPointer? {
    copy.withLock { copy in
      if copy == nil, let address = source.hostAddress {
        let made = HostStorage(byteCount: byteCount)
        if let target = made.hostAddress {
          fill(
            UnsafeRawBufferPointer(start: address + bytes.lowerBound, count: bytes.count),
            UnsafeMutableRawBufferPointer(start: target, count: byteCount))
        }
        source.release(bytes)
        copy = made
      }
      return UInt(bitPattern: copy?.hostAddress)
    }.pointer
  }

  func prefetch(_ range: Range<Int>) {
    if copy.withLock({ $0 == nil }) { source.prefetch(bytes) }
  }

  func release(_ range: Range<Int>) {
    if range.lowerBound <= 0 && range.upperBound >= byteCount { copy.withLock { $0 = nil } }
  }
}

extension UInt {
  /// Pointers are not `Sendable` and cannot leave a lock as themselves.
  fileprivate var pointer: UnsafeMutableRawPointer? { UnsafeMutableRawPointer(bitPattern: self) }
}
