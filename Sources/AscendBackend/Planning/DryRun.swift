import CAscend

/// The functions of a library whose devices keep shapes and accounts only. Called on the device's thread, to which such devices
/// belong.
struct DryRun: Sendable {
  private let begin: ascend_emulator_begin_dryFunction
  private let end: ascend_emulator_end_dryFunction
  private let takeAccounts: ascend_emulator_take_accountsFunction
  private let takePeak: ascend_emulator_take_peakFunction
  private let byteCount: Int

  /// - Parameter byteCount: The memory of the device.
  /// - Throws: `AscendError.missingFunction`, as for CANN itself.
  init(_ libraries: CANNLibraries, byteCount: Int) throws(AscendError) {
    begin = try libraries.required("ascend_emulator_begin_dry", ascend_emulator_begin_dryFunction.self)
    end = try libraries.required("ascend_emulator_end_dry", ascend_emulator_end_dryFunction.self)
    takeAccounts = try libraries.required("ascend_emulator_take_accounts", ascend_emulator_take_accountsFunction.self)
    takePeak = try libraries.required("ascend_emulator_take_peak", ascend_emulator_take_peakFunction.self)
    self.byteCount = byteCount
  }

  /// Gives the thread one device.
  func open() { begin(1, byteCount) }

  func close() { end() }

  /// What has been put on the stream since the last time, by kernel.
  func takeKernels() -> [DryKernel] {
    var kernels: [DryKernel] = []
    let capacity = 64
    var accounts = [ascendKernelAccount](repeating: ascendKernelAccount(), count: capacity)
    while true {
      let count = takeAccounts(&accounts, capacity)
      kernels += accounts.prefix(count).map(DryKernel.init)
      if count < capacity { return kernels }
    }
  }

  /// The most memory that was taken at a time since the last call.
  func takePeakBytes() -> Int { takePeak(0) }
}

/// Some alike kernels that a device would have run.
struct DryKernel: Sendable {
  /// `aclnnAddmm`
  let name: String
  let calls: Int
  /// Of each: multiplications and additions, and bytes of device memory.
  let operations: Double
  let bytesRead: Int
  let bytesWritten: Int

  fileprivate init(_ account: ascendKernelAccount) {
    name = withUnsafeBytes(of: account.name) { bytes in
      String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    calls = account.calls
    operations = account.operations
    bytesRead = account.bytesRead
    bytesWritten = account.bytesWritten
  }
}
