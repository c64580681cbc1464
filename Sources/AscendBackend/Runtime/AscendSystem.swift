import CAscend

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// CANN as it is installed, and the devices that it knows.
public struct AscendSystem: Sendable {
  public let libraries: CANNLibraries
  private let functions: RuntimeFunctions

  /// What is to be known of a device before it is used.
  public struct Status: Sendable {
    /// The name of the chip, as CANN has it.
    public let chip: String
    /// Of device memory, without what the system keeps for itself.
    public let totalBytes: Int
    public let freeBytes: Int
  }

  /// Loads CANN.
  /// - Parameter environment: see `CANNLibraries`.
  /// - Throws: `AscendError` where it is not there or too old.
  public init(environment: [String: String]) throws(AscendError) {
    libraries = try CANNLibraries(environment: environment)
    functions = try RuntimeFunctions(libraries)
    toolkitVersion = Self.version(environment)
  }

  /// Ends every CANN that this process has started. To be called on the main thread, last of all, when devices are no
  /// longer held; waits for those that are being closed. Calls `aclFinalize`, which may take two seconds to write CANN's logs.
  /// - Returns: what went wrong.
  public static func endAll() -> [AscendError] { CANNProcess.end { _ in true } }

  /// Ends this CANN alone; see `endAll`.
  public func end() -> [AscendError] {
    let address = unsafeBitCast(functions.initialize, to: UInt.self)
    return CANNProcess.end { unsafeBitCast($0.initialize, to: UInt.self) == address }
  }

  /// What is to be said of a chip that this program was not written for; nil for the 910B of an Atlas A2, whatever its size.
  ///
  /// Names are those of `aclrtGetSocName`. `Ascend910B` without a number is a chip of the first generation.
  public static func doubt(aboutChip name: String) -> String? {
    let family = "Ascend910B"
    if name.hasPrefix(family), name.dropFirst(family.count).first?.isNumber == true { return nil }
    return "the chip \(name) is not an Ascend 910B of an Atlas A2, the only one whose operators' limits are known: "
      + "operations may fail or compute something else; see what hyvideo bench --device ascend --conformance says"
  }

  /// The toolkit's version from its own files, where they are found.
  public let toolkitVersion: String?

  /// How many devices the process may use. Starts CANN.
  public func deviceCount() throws(AscendError) -> Int { try AscendDevice.count(functions) }

  /// Looks at a device, without taking anything of it.
  public func status(of index: Int) throws(AscendError) -> Status {
    let thread = DeviceThread()
    return try thread.run { () throws(AscendError) in
      let count = try AscendDevice.count(functions)
      if !(0..<count).contains(index) { throw .noSuchDevice(index: index, count: count) }
      try functions.check(functions.setDevice(Int32(index)), "aclrtSetDevice")
      defer { _ = functions.resetDevice(Int32(index)) }
      var (free, total) = (0, 0)
      try functions.check(functions.memoryInfo(ACL_HBM_MEM, &free, &total), "aclrtGetMemInfo")
      return Status(
        chip: functions.socName().map { String(cString: $0) } ?? "unknown", totalBytes: total, freeBytes: free)
    }
  }

  /// From `version.cfg` or, of a toolkit alone, `ascend_toolkit_install.info`, whose lines are `key=value`.
  private static func version(_ environment: [String: String]) -> String? {
    for place in CANNLibraries.toolkits(environment) {
      let names = [
        "version.cfg", "ascend_toolkit_install.info", "aarch64-linux/ascend_toolkit_install.info",
        "x86_64-linux/ascend_toolkit_install.info",
      ]
      for name in names {
        if let version = value(inFile: "\(place)/\(name)") { return version }
      }
    }
    return nil
  }

  private static func value(inFile path: String) -> String? {
    guard let file = fopen(path, "r") else { return nil }
    defer { fclose(file) }
    var buffer = [UInt8](repeating: 0, count: 1 << 14)
    let count = fread(&buffer, 1, buffer.count, file)
    let text = String(decoding: buffer[..<count], as: UTF8.self)
    for key in ["toolkit_installed_version", "toolkit_running_version", "version"] {
      for line in text.split(whereSeparator: \.isNewline) {
        let parts = line.split(separator: "=", maxSplits: 1)
        guard parts.count == 2, parts[0] == key else { continue }
        // `[7.5.0.1.129:8.0.RC3]`: the internal number, then the release's name.
        let value = parts[1].filter { !"[] \"".contains($0) }
        return value.split(separator: ":").last.map(String.init)
      }
    }
    return nil
  }
}
