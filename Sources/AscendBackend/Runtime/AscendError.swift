/// Why no Ascend device can be used.
public enum AscendError: Error, CustomStringConvertible {
  /// CANN's libraries are not where they were looked for.
  case librariesNotFound(searched: [String], reason: String)
  /// A library lacks a function that nothing can do without.
  case missingFunction(name: String, libraries: [String])
  /// A call failed; `message` is CANN's own.
  case callFailed(function: String, status: Int, message: String)
  /// The host has no memory left that the device can copy from and to; `message` is CANN's own.
  case outOfPinnedMemory(byteCount: Int, message: String)
  /// There are fewer devices than asked for.
  case noSuchDevice(index: Int, count: Int)
  /// CANN was to be ended while a device was open.
  case stillInUse

  public var description: String {
    switch self {
    case .librariesNotFound(let searched, let reason):
      "no Ascend device: expected libascendcl.so in \(searched.joined(separator: ", ")), found none (\(reason)); source "
        + "CANN's set_env.sh, or set ASCEND_HOME_PATH or HYVIDEO_CANN_LIBRARY_PATH"
    case .missingFunction(let name, let libraries):
      "incompatible CANN: \(libraries.joined(separator: ", ")): expected the function \(name), found none; "
        + "CANN 8.2 or a later 8 is needed"
    case .callFailed(let function, let status, let message):
      "Ascend device failed: \(function): expected success, found status \(status)\(message.isEmpty ? "" : ": " + message); "
        + "see whether npu-smi info lists the device and this user may use it"
    case .outOfPinnedMemory(let byteCount, let message):
      "out of memory: aclrtMallocHost: expected \(byteCount) bytes of the host's memory to copy from and to the device, found none"
        + "\(message.isEmpty ? "" : " (\(message))"); see by free and ulimit -l what is left, and end other programs that use devices"
    case .noSuchDevice(let index, let count):
      "no Ascend device \(index): expected an index below \(count), the number of devices; see hyvideo devices"
    case .stillInUse:
      "CANN was not ended: aclFinalize: expected no open device, found one; results are not affected, but CANN's own logs and "
        + "profiles may lack their ends"
    }
  }
}
