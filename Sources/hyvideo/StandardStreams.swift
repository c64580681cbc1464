import Foundation
import Synchronization

/// The descriptors 0, 1 and 2 of the process.
enum StandardStreams {
  private static let outputWasClosed = Atomic<Bool>(false)

  /// Whether standard output was closed when the program began: nobody asked for what is printed there.
  static var isOutputClosed: Bool { outputWasClosed.load(ordering: .relaxed) }

  /// Gives those that are closed to the null device, before anything else is opened: the next file would get their number, and
  /// whatever is printed would go into it. Programs that are started from here inherit the null device.
  static func open() {
    for descriptor in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] {
      if fcntl(descriptor, F_GETFD) >= 0 { continue }
      if descriptor == STDOUT_FILENO { outputWasClosed.store(true, ordering: .relaxed) }
      // The lowest free number, which this is. Where there is no such device, a folder holds its place: it takes and gives nothing.
      var new = Foundation.open("/dev/null", O_RDWR)
      if new < 0 { new = Foundation.open("/", O_RDONLY | O_DIRECTORY) }
      if new >= 0 && new != descriptor {
        dup2(new, descriptor)
        close(new)
      }
    }
  }
}
