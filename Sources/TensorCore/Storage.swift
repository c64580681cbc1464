/// Memory that tensors share. What kind of memory, and who owns it, is known to the concrete class alone: the
/// networks do not ask whether weights are resident, mapped from a file or on a device.
public protocol Storage: AnyObject, Sendable {
  var byteCount: Int { get }

  /// The address of the first byte where the host can read it; nil for memory of another device.
  var hostAddress: UnsafeMutableRawPointer? { get }

  /// Says that a range of bytes will be needed soon. Storage that is not backed by a file ignores it.
  func prefetch(_ bytes: Range<Int>)

  /// Says that a range of bytes will not be needed for a while. The contents stay readable, but an address that was asked
  /// for earlier may no longer be theirs.
  func release(_ bytes: Range<Int>)
}

extension Storage {
  public func prefetch(_ bytes: Range<Int>) {}
  public func release(_ bytes: Range<Int>) {}
}
