import Foundation
import Synchronization

/// Why the ranks of a run end before its time.
public struct RankEnd: Sendable {
  /// Where it happened.
  public let rank: Int
  /// What the rank has said; nil where it has ended without a word.
  public let reason: String?
  public let status: Int32
  /// Whether this rank is the one to tell the user.
  public let isTeller: Bool
}

/// Connections of all ranks to the first beside those of MPI, over which each learns at once that another has failed, was
/// killed or was asked to stop: MPI lets ranks wait for ever for one that is gone.
public final class Lifeline: Sendable {
  /// What happens when ranks end. Called on a thread of its own.
  public struct Handlers: Sendable {
    /// The run is over: tells the user. Called once.
    let ended: @Sendable (RankEnd) -> Void
    /// Ends the process with a status, after all other ranks have been told.
    let leave: @Sendable (Int32) -> Void
    /// On the first rank: a rank has been asked to stop by a signal.
    let stop: @Sendable (Int32) -> Void
    /// Called some twenty times a second.
    let tick: @Sendable () -> Void

    public init(
      ended: @escaping @Sendable (RankEnd) -> Void, leave: @escaping @Sendable (Int32) -> Void,
      stop: @escaping @Sendable (Int32) -> Void, tick: @escaping @Sendable () -> Void
    ) {
      (self.ended, self.leave, self.stop, self.tick) = (ended, leave, stop, tick)
    }
  }

  private struct State {
    /// The other ranks that are still there; on ranks other than the first, that one alone.
    var peers: [Int: LifelineSocket]
    var hasEnded = false
    var isClosing = false
  }

  private static let interval: Int32 = 50
  private static let connectSeconds = 3.0
  private static let acceptSeconds = 15.0

  private let rank: Int
  private let handlers: Handlers
  private let state: Mutex<State>

  private init(rank: Int, peers: [Int: LifelineSocket], handlers: Handlers) {
    (self.rank, self.handlers) = (rank, handlers)
    state = Mutex(State(peers: peers))
  }

  /// Connects the ranks of a group. All of them call this.
  /// - Parameter hosts: the host of each rank.
  /// - Returns: the lifeline, and the ranks that could not be connected; only their launcher notices their end.
  public static func connect(
    _ group: any ProcessGroup, hosts: [String], handlers: Handlers
  ) throws(CollectiveError) -> (lifeline: Lifeline, unconnected: [Int]) {
    let isLocal = Set(hosts).count == 1
    var peers: [Int: LifelineSocket] = [:]
    if group.rank == 0 {
      let (descriptor, port) = try LifelineSocket.listen(isLocal: isLocal)
      defer { Foundation.close(descriptor) }
      let token = Int64.random(in: .min ... .max)
      let invitation = "\(port) \(token) \((LifelineSocket.addresses() + [hosts[0]]).joined(separator: " "))"
      _ = try group.broadcast(Array(invitation.utf8), from: 0)
      peers = accept(descriptor, token: token, count: group.size - 1)
    } else {
      let words = String(decoding: try group.broadcast([UInt8](), from: 0), as: UTF8.self).split(separator: " ")
      if words.count > 1, let port = UInt16(words[0]), let token = Int64(words[1]) {
        let isNeighbour = hosts[group.rank] == hosts[0]
        let socket = LifelineSocket.connect(
          hosts: isNeighbour ? ["127.0.0.1"] : words[2...].map(String.init), port: port, seconds: connectSeconds)
        socket?.send(LifelineMessage(kind: .hello, value: token, text: "\(group.rank)"))
        peers[0] = socket
      }
    }
    let connected = try group.broadcast(peers.keys.sorted().map(Int64.init), from: 0)
    let lifeline = Lifeline(rank: group.rank, peers: peers, handlers: handlers)
    Thread.detachNewThread { lifeline.serve() }
    return (lifeline, (1..<group.size).filter { !connected.contains(Int64($0)) })
  }

  /// Takes connections until all ranks are there or time is up.
  private static func accept(_ listener: Int32, token: Int64, count: Int) -> [Int: LifelineSocket] {
    var peers: [Int: LifelineSocket] = [:]
    let deadline = ContinuousClock().now.advanced(by: .seconds(acceptSeconds))
    while peers.count < count {
      var entry = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
      let left = ContinuousClock().now.duration(to: deadline) / .seconds(1)
      if left <= 0 || poll(&entry, 1, Int32(left * 1000)) <= 0 { break }
      let descriptor = Foundation.accept(listener, nil, nil)
      if descriptor < 0 { continue }
      _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
      let socket = LifelineSocket(descriptor: descriptor)
      // Others may knock at a port: a rank knows the token.
      guard socket.waitToReceive(seconds: 1), let hello = socket.receive().messages.first, hello.kind == .hello,
        hello.value == token, let rank = Int(hello.text), (1...count).contains(rank)
      else { continue }
      peers[rank] = socket
    }
    return peers
  }

  // MARK: Saying

  /// Tells the others that this rank has failed. The process then ends by itself; this returns where no rank could be told, or
  /// after some seconds.
  public func fail(reason: String, status: Int32) {
    if rank == 0 {
      end(RankEnd(rank: 0, reason: reason, status: status, isTeller: true))
    } else {
      guard let first = state.withLock({ $0.peers[0] }) else { return }
      first.send(LifelineMessage(kind: .failed, value: Int64(status), text: reason))
    }
    // Another rank's end may have come first: the thread that tells of it ends the process.
    Thread.sleep(forTimeInterval: 5)
  }

  /// Asks all ranks to end between two steps.
  public func requestStop(_ signal: Int32) {
    if rank == 0 { return handlers.stop(signal) }
    state.withLock { $0.peers[0] }?.send(LifelineMessage(kind: .stop, value: Int64(signal)))
  }

  /// Leaves: the end of other ranks means nothing from now on. To be called when all have come this far.
  public func close() {
    let peers = state.withLock { state in
      state.isClosing = true
      return state.peers
    }
    for peer in peers.values { peer.send(LifelineMessage(kind: .goodbye)) }
  }

  /// Tells all ranks, and the program, that the run is over. The first reason counts.
  private func end(_ end: RankEnd) {
    let (isFirst, peers) = state.withLock { state in
      defer { state.hasEnded = true }
      return (!state.hasEnded && !state.isClosing, state.peers)
    }
    guard isFirst else { return }
    handlers.ended(end)
    if rank == 0 {
      for peer in peers.values { peer.send(LifelineMessage(kind: .ended, value: Int64(end.status))) }
    }
    handlers.leave(end.status)
  }

  // MARK: Listening

  private func serve() {
    while true {
      let peers = state.withLock { $0.isClosing ? nil : $0.peers }
      guard let peers else { return }
      handlers.tick()
      let ranks = peers.keys.sorted()
      var entries = ranks.map { pollfd(fd: peers[$0]?.descriptor ?? -1, events: Int16(POLLIN), revents: 0) }
      if poll(&entries, nfds_t(entries.count), Self.interval) <= 0 { continue }
      for (rank, entry) in zip(ranks, entries) where entry.revents != 0 {
        guard let peer = peers[rank] else { continue }
        let (messages, hasEnded) = peer.receive()
        for message in messages { take(message, from: rank) }
        if hasEnded, state.withLock({ $0.peers.removeValue(forKey: rank) }) != nil {
          // The lowest rank that is left tells.
          end(RankEnd(rank: rank, reason: nil, status: 1, isTeller: self.rank == (rank == 0 ? 1 : 0)))
        }
      }
    }
  }

  private func take(_ message: LifelineMessage, from rank: Int) {
    let status = Int32(truncatingIfNeeded: message.value)
    switch message.kind {
    case .hello: break
    case .failed: end(RankEnd(rank: rank, reason: message.text, status: status, isTeller: true))
    case .stop: handlers.stop(status)
    case .goodbye: _ = state.withLock { $0.peers.removeValue(forKey: rank) }
    case .ended: end(RankEnd(rank: rank, reason: message.text, status: status, isTeller: false))
    }
  }
}
