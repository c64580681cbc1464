import Foundation

/// A connection over which ranks learn of each other's end: the system closes it when a process ends, however it does.
final class LifelineSocket: @unchecked Sendable {
  // Sendable: what is received is touched by one thread; sending is guarded by the lock.
  let descriptor: Int32
  private let lock = NSLock()
  private var received: [UInt8] = []

  init(descriptor: Int32) {
    self.descriptor = descriptor
    var yes: Int32 = 1
    setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, socklen_t(MemoryLayout<Int32>.size))
    setsockopt(descriptor, SOL_SOCKET, SO_KEEPALIVE, &yes, socklen_t(MemoryLayout<Int32>.size))
    #if canImport(Glibc)
      // A host that loses power or network says nothing: it is asked after some seconds, and given up after three questions.
      for (option, value) in [(TCP_KEEPIDLE, Self.idleSeconds), (TCP_KEEPINTVL, Self.idleSeconds), (TCP_KEEPCNT, 3)] {
        var value = value
        setsockopt(descriptor, Int32(IPPROTO_TCP), option, &value, socklen_t(MemoryLayout<Int32>.size))
      }
    #endif
  }

  /// How long a connection may be silent before the other host is asked whether it is there.
  private static let idleSeconds: Int32 = 5

  deinit { close(descriptor) }

  /// Sends what the system takes: a peer that is gone gets nothing.
  func send(_ message: LifelineMessage) {
    lock.withLock {
      var bytes = message.bytes[...]
      while !bytes.isEmpty {
        let count = bytes.withUnsafeBytes { Foundation.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        if count <= 0 && errno != EINTR { return }
        bytes = bytes.dropFirst(max(count, 0))
      }
    }
  }

  /// The messages that have arrived, and whether the connection has ended. To be called when something is there.
  func receive() -> (messages: [LifelineMessage], hasEnded: Bool) {
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = recv(descriptor, &buffer, buffer.count, 0)
    if count < 0 && (errno == EINTR || errno == EAGAIN) { return ([], false) }
    received += buffer[..<max(count, 0)]
    var messages: [LifelineMessage] = []
    do throws(CollectiveError) {
      while let message = try LifelineMessage.next(in: &received) { messages.append(message) }
    } catch { return (messages, true) }
    return (messages, count <= 0)
  }

  /// Whether bytes, or the end, arrive within some time.
  func waitToReceive(seconds: Double) -> Bool {
    var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return poll(&entry, 1, Int32(seconds * 1000)) > 0
  }

  // MARK: Connecting

  private static var streamType: Int32 {
    #if canImport(Glibc)
      Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
    #else
      SOCK_STREAM | SOCK_CLOEXEC
    #endif
  }

  /// Listens at a port that the system chooses.
  /// - Parameter isLocal: for processes of this host alone.
  static func listen(isLocal: Bool) throws(CollectiveError) -> (descriptor: Int32, port: UInt16) {
    let descriptor = socket(AF_INET, streamType, 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = isLocal ? UInt32(0x7F00_0001).bigEndian : 0
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let status = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
        bind(descriptor, pointer, length) == 0 && Foundation.listen(descriptor, 1024) == 0
          && getsockname(descriptor, pointer, &length) == 0
      }
    }
    if descriptor < 0 || !status {
      throw CollectiveError(operation: "lifeline", reason: "cannot listen: \(String(cString: strerror(errno)))")
    }
    return (descriptor, UInt16(bigEndian: address.sin_port))
  }

  /// Connects to the first of some hosts that answers.
  static func connect(hosts: [String], port: UInt16, seconds: Double) -> LifelineSocket? {
    for host in hosts {
      var hints = addrinfo()
      hints.ai_family = AF_INET
      hints.ai_socktype = streamType & 0xF
      var list: UnsafeMutablePointer<addrinfo>?
      guard getaddrinfo(host, "\(port)", &hints, &list) == 0, let first = list else { continue }
      defer { freeaddrinfo(list) }
      let descriptor = socket(AF_INET, streamType, 0)
      if descriptor < 0 { continue }
      // Without blocking, so that a host behind a wall costs no minutes.
      let flags = fcntl(descriptor, F_GETFL)
      _ = fcntl(descriptor, F_SETFL, flags | O_NONBLOCK)
      if Foundation.connect(descriptor, first.pointee.ai_addr, first.pointee.ai_addrlen) != 0 {
        var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        var code: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        guard errno == EINPROGRESS, poll(&entry, 1, Int32(seconds * 1000)) > 0,
          getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size) == 0, code == 0
        else {
          close(descriptor)
          continue
        }
      }
      _ = fcntl(descriptor, F_SETFL, flags)
      return LifelineSocket(descriptor: descriptor)
    }
    return nil
  }

  /// This host's addresses that others may reach.
  static func addresses() -> [String] {
    var list: UnsafeMutablePointer<ifaddrs>?
    guard getifaddrs(&list) == 0 else { return [] }
    defer { freeifaddrs(list) }
    var result: [String] = []
    var next = list
    while let entry = next?.pointee {
      next = entry.ifa_next
      let isLoopback = entry.ifa_flags & UInt32(IFF_LOOPBACK) != 0
      guard let address = entry.ifa_addr, address.pointee.sa_family == AF_INET, !isLoopback else { continue }
      var name = [CChar](repeating: 0, count: 64)
      let size = socklen_t(MemoryLayout<sockaddr_in>.size)
      if getnameinfo(address, size, &name, socklen_t(name.count), nil, 0, NI_NUMERICHOST) == 0 {
        result.append(String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
      }
    }
    return result
  }
}
