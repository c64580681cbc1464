import CAscend
import Dispatch
import Synchronization

/// CANN as this process has started it, to be ended when no device is open any more.
final class CANNProcess: Sendable {
  private let functions: RuntimeFunctions
  private let devices = DispatchGroup()

  /// By the address of `aclInit`: tests have several CANNs.
  private static let started = Mutex<[UInt: CANNProcess]>([:])

  /// How long devices that nobody holds any more may take to close: their own threads give back what was let go of last.
  private static let patience = DispatchTimeInterval.seconds(10)

  private init(_ functions: RuntimeFunctions) { self.functions = functions }

  private static func key(_ functions: RuntimeFunctions) -> UInt { unsafeBitCast(functions.initialize, to: UInt.self) }

  /// Starts CANN, unless that was done: calls `aclInit`.
  static func start(_ functions: RuntimeFunctions) throws(AscendError) {
    let status = functions.initialize(nil)
    if status == CASCEND_REPEAT_INITIALIZE.signed { return }
    try functions.check(status, "aclInit")
    started.withLock { $0[key(functions)] = CANNProcess(functions) }
  }

  /// Where a device is opened: the CANN that must not end before `deviceDidClose`. Nil where somebody else has started it.
  static func openingDevice(_ functions: RuntimeFunctions) -> CANNProcess? {
    started.withLock { started in
      let process = started[key(functions)]
      process?.devices.enter()
      return process
    }
  }

  func deviceDidClose() { devices.leave() }

  /// Ends all that was started: calls `aclFinalize`.
  /// - Returns: what went wrong.
  static func end(where isMeant: (RuntimeFunctions) -> Bool) -> [AscendError] {
    let ending = started.withLock { started in
      let ending = started.filter { isMeant($0.value.functions) }
      for name in ending.keys { started[name] = nil }
      return ending.values
    }
    return ending.compactMap { process in
      if process.devices.wait(timeout: .now() + patience) == .timedOut { return AscendError.stillInUse }
      do throws(AscendError) { try process.functions.check(process.functions.finalize(), "aclFinalize") } catch {
        return error
      }
      return nil
    }
  }
}
