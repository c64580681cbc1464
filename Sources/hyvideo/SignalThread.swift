import Foundation

/// The one thread that takes signals.
///
/// A handler runs on the stack of the thread that a signal reaches. The matrix products of oneDNN (2.6: `jit_avx512_common_gemm_f32`)
/// keep their data where the stack pointer points, in ordinary memory: there a handler's frame overwrites what belongs to others.
/// So no thread that computes may take a signal, whoever handles it.
enum SignalThread {
  /// For the beginning of the program, while its first thread is alone: all others have its mask.
  static func start() {
    var blocked = sigset_t()
    sigfillset(&blocked)
    // A thread's own faults are its own.
    for fault in [SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS] { sigdelset(&blocked, fault) }
    // Terminals stop programs without a handler.
    for stop in [SIGTSTP, SIGTTIN, SIGTTOU] { sigdelset(&blocked, stop) }
    var inherited = sigset_t()
    pthread_sigmask(SIG_BLOCK, &blocked, &inherited)
    // Some programs start others with these blocked.
    for name in StopSignals.numbers { sigdelset(&inherited, name) }
    let thread = Thread { [inherited] in
      var taken = inherited
      pthread_sigmask(SIG_SETMASK, &taken, nil)
      while true { pause() }
    }
    thread.name = "signals"
    thread.stackSize = 1 << 18
    thread.start()
  }
}
