#if canImport(Glibc)
  @preconcurrency import Glibc
#elseif canImport(Musl)
  @preconcurrency import Musl
#endif

/// An error number of the system.
struct SystemFailure: Error {
  let code: Int32
}

/// Two connected descriptors. Ours does not block; neither is inherited by programs unless asked for.
struct Descriptors {
  let ours: Int32
  let theirs: Int32

  /// A stream between us and them. (A pipe needs a second call to be kept from programs started meanwhile.)
  static func connected() throws(SystemFailure) -> Descriptors {
    #if canImport(Glibc)
      let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
    #else
      let kind = SOCK_STREAM | SOCK_CLOEXEC
    #endif
    var pair: [Int32] = [-1, -1]
    if socketpair(AF_UNIX, kind, 0, &pair) != 0 { throw SystemFailure(code: errno) }
    return try Descriptors(pair[0], pair[1])
  }

  private init(_ first: Int32, _ second: Int32) throws(SystemFailure) {
    ours = Descriptors.raised(first)
    theirs = Descriptors.raised(second)
    if ours < 0 || theirs < 0 || fcntl(ours, F_SETFL, fcntl(ours, F_GETFL) | O_NONBLOCK) != 0 {
      let code = errno
      for descriptor in [ours, theirs] where descriptor >= 0 { close(descriptor) }
      throw SystemFailure(code: code)
    }
  }

  /// A descriptor above the standard three: a process started with those closed gets them from `pipe`, and
  /// connecting a child's streams would then overwrite one with another.
  private static func raised(_ descriptor: Int32) -> Int32 {
    if descriptor > 2 { return descriptor }
    let result = fcntl(descriptor, F_DUPFD_CLOEXEC, 3)
    let code = errno
    close(descriptor)
    errno = code
    return result
  }
}

extension ChildProcess {
  /// Starts a program with the given standard streams (`/dev/null` for nil), default handling of SIGPIPE and no
  /// blocked signals, in this process's environment.
  static func spawn(
    _ program: String, _ arguments: [String], input: Int32?, output: Int32?, errors: Int32
  ) throws(SystemFailure) -> pid_t {
    var actions = posix_spawn_file_actions_t()
    var attributes = posix_spawnattr_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawnattr_init(&attributes)
    defer {
      posix_spawn_file_actions_destroy(&actions)
      posix_spawnattr_destroy(&attributes)
    }
    var results: [Int32] = []
    for (descriptor, target, mode) in [(input, Int32(0), O_RDONLY), (output, 1, O_WRONLY), (errors, 2, O_WRONLY)] {
      if let descriptor {
        results.append(posix_spawn_file_actions_adddup2(&actions, descriptor, target))
      } else {
        results.append(posix_spawn_file_actions_addopen(&actions, target, "/dev/null", mode, 0))
      }
    }
    var signals = sigset_t()
    sigemptyset(&signals)
    results.append(posix_spawnattr_setsigmask(&attributes, &signals))
    sigaddset(&signals, SIGPIPE)
    results.append(posix_spawnattr_setsigdefault(&attributes, &signals))
    results.append(posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF)))
    if let failure = results.first(where: { $0 != 0 }) { throw SystemFailure(code: failure) }

    var words: [UnsafeMutablePointer<CChar>?] = ([program] + arguments).map { strdup($0) }
    defer { for word in words { free(word) } }
    if words.contains(nil) { throw SystemFailure(code: ENOMEM) }
    words.append(nil)
    var identifier: pid_t = -1
    let result = posix_spawn(&identifier, program, &actions, &attributes, words, environ)
    if result != 0 { throw SystemFailure(code: result) }
    return identifier
  }
}
