import CMPI
import TensorCore

/// Ranks that are processes, on one host or many, started by an MPI launcher.
public final class MPIProcessGroup: ProcessGroup {
  public let rank: Int
  public let size: Int
  private let handle: MPIGroupHandle
  private let engine: MPIEngine
  private let meter: CommunicationMeter

  private init(_ handle: MPIGroupHandle, engine: MPIEngine, meter: CommunicationMeter) {
    (self.handle, self.engine, self.meter) = (handle, engine, meter)
    (rank, size) = engine.locked { (Int(cmpi_rank(handle.pointer)), Int(cmpi_size(handle.pointer))) }
  }

  /// Variables by which launchers tell a process that it is one of several: Open MPI, PMI (MPICH, Intel, Slurm), PMIx.
  public static let launcherVariables = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMI_RANK", "PMIX_RANK"]

  /// The longest message that is handed to MPI whole. Its counts are 32-bit integers.
  public static let largestPiece = 1 << 30

  /// Joins the other ranks. To be called once, and `finish` before the process ends.
  /// - Parameter pieceBytes: longer messages are sent in pieces of this size, the same on all ranks; at most `largestPiece`.
  /// - Throws: `CollectiveError` where the MPI library is absent or refuses.
  public static func join(pieceBytes: Int = largestPiece) throws(CollectiveError) -> MPIProcessGroup {
    precondition((1...largestPiece).contains(pieceBytes), "MPI: pieces of \(pieceBytes) bytes")
    let (group, reason) = withReason { cmpi_start($0, $1) }
    guard let group else { throw CollectiveError(operation: "start of MPI", reason: reason) }
    cmpi_set_piece_bytes(pieceBytes)
    return MPIProcessGroup(MPIGroupHandle(pointer: group), engine: MPIEngine(), meter: CommunicationMeter())
  }

  /// Leaves the other ranks, after waiting for them.
  public func finish() { engine.locked { cmpi_finish() } }

  public var statistics: CommunicationStatistics { meter.statistics }

  public func transfer(
    sending: [OutgoingMessage], receiving: [IncomingMessage], pattern: TransferPattern
  ) throws(CollectiveError) -> any PendingTransfer {
    for message in sending where message.destination != rank && message.tensor.count > 0 {
      meter.countMessage(bytes: message.tensor.byteCount)
    }
    return try MPITransfer(
      sending: sending, receiving: receiving, rank: rank, group: handle, engine: engine, meter: meter)
  }

  public func subgroup(color: Int, key: Int) throws(CollectiveError) -> any ProcessGroup {
    let (group, reason) = engine.locked {
      withReason { cmpi_split(handle.pointer, Int32(color), Int32(key), $0, $1) }
    }
    guard let group else { throw CollectiveError(operation: "split of a group", reason: reason) }
    return MPIProcessGroup(MPIGroupHandle(pointer: group), engine: engine, meter: meter)
  }

  public func abort(reason: String, status: Int32) { engine.locked { cmpi_abort(status) } }
}

/// A communicator. It lives as long as the process.
struct MPIGroupHandle: @unchecked Sendable {
  let pointer: OpaquePointer
}

/// Calls a function that may say why it failed.
func withReason<Result>(_ body: (UnsafeMutablePointer<CChar>, Int) -> Result) -> (Result, String) {
  withUnsafeTemporaryAllocation(of: CChar.self, capacity: 1024) { buffer in
    guard let text = buffer.baseAddress else { preconditionFailure("reason: no room for a text") }
    text.initialize(repeating: 0, count: buffer.count)
    let result = body(text, buffer.count)
    return (result, String(cString: text))
  }
}
