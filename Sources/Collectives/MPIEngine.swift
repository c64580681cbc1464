import CMPI
import Foundation
import TensorCore

/// Lets one thread at a time call MPI, and keeps messages moving while the ranks compute: MPI transfers large messages only
/// while it is called.
final class MPIEngine: @unchecked Sendable {
  // Sendable: `pending` is guarded by the condition's lock, MPI by its own.
  private let mpi = NSLock()
  private let condition = NSCondition()
  private var pending: [MPITransfer] = []
  private var isRunning = false

  /// How often messages are looked after while ranks compute.
  private static let interval: TimeInterval = 0.0002

  func locked<Result>(_ body: () -> Result) -> Result { mpi.withLock(body) }

  /// Looks after a transfer until it is done.
  func follow(_ transfer: MPITransfer) {
    condition.withLock {
      pending.append(transfer)
      if !isRunning {
        isRunning = true
        Thread.detachNewThread { [self] in serve() }
      }
      condition.signal()
    }
  }

  private func serve() {
    while true {
      condition.lock()
      while pending.isEmpty { condition.wait() }
      let transfers = pending
      condition.unlock()
      let done = transfers.filter { $0.poll() }
      if !done.isEmpty {
        condition.withLock { pending.removeAll { transfer in done.contains { $0 === transfer } } }
      }
      Thread.sleep(forTimeInterval: Self.interval)
    }
  }
}

/// Messages under way. Tensors that are sent and received live at least as long, and no longer on their account.
final class MPITransfer: PendingTransfer, @unchecked Sendable {
  // Sendable: what changes is guarded by the engine's lock.
  private var sending: [OutgoingMessage]
  private var received: [Tensor] = []
  private let requests: OpaquePointer
  private let engine: MPIEngine
  private let meter: CommunicationMeter
  private let start = ContinuousClock().now
  private var end: ContinuousClock.Instant?
  private var failure: CollectiveError?
  private var isRemote = false

  init(
    sending: [OutgoingMessage], receiving: [IncomingMessage], rank: Int, group: MPIGroupHandle, engine: MPIEngine,
    meter: CommunicationMeter
  ) throws(CollectiveError) {
    guard let requests = cmpi_transfer_make() else {
      throw CollectiveError(operation: "transfer", reason: "out of memory")
    }
    (self.sending, self.requests, self.engine, self.meter) = (sending, requests, engine, meter)
    var own = SelfMessages(sending, rank: rank)
    let status = engine.locked {
      var status: Int32 = 0
      for message in receiving {
        if message.source == rank {
          received.append(own.next(message))
          continue
        }
        let tensor = Tensor(uninitialized: message.shape, message.dtype)
        received.append(tensor)
        if tensor.count == 0 { continue }
        isRemote = true
        status = cmpi_receive(
          requests, group.pointer, tensor.mutableHostPointer, tensor.byteCount, Int32(message.source))
        if status != 0 { return status }
      }
      for message in sending where message.destination != rank && message.tensor.count > 0 {
        isRemote = true
        status = cmpi_send(
          requests, group.pointer, message.tensor.hostPointer, message.tensor.byteCount, Int32(message.destination))
        if status != 0 { return status }
      }
      return status
    }
    if status != 0 {
      throw CollectiveError(operation: "transfer", reason: withReason { cmpi_describe(status, $0, $1) }.1)
    }
    if isRemote { engine.follow(self) } else { end = start }
  }

  deinit { cmpi_transfer_free(requests) }

  /// Moves messages on; returns whether all are done or have failed.
  func poll() -> Bool {
    engine.locked {
      if end != nil { return true }
      let status = cmpi_test(requests)
      if status < 0 {
        failure = CollectiveError(operation: "transfer", reason: withReason { cmpi_describe(status, $0, $1) }.1)
      }
      if status != 0 {
        end = ContinuousClock().now
        sending = []
      }
      return status != 0
    }
  }

  func wait() throws(CollectiveError) -> [Tensor] {
    if isRemote {
      let entered = ContinuousClock().now
      // Yield while the answer is likely to be near, then sleep: ranks may share cores.
      var attempts = 0
      while !poll() {
        attempts += 1
        if attempts < 200 { sched_yield() } else { usleep(UInt32(min(20 + attempts / 10, 200))) }
      }
      let (finished, error) = engine.locked { (self.end, self.failure) }
      if let error { throw error }
      let left = attempts == 0 ? entered : ContinuousClock().now
      meter.countTransfer(from: start, to: attempts == 0 ? finished ?? left : left, waiting: entered.duration(to: left))
    }
    return engine.locked {
      defer { received = [] }
      return received
    }
  }
}
