import Synchronization

/// Something to undo where the process ends at once, without returning from what it does: a file that is not whole, a program
/// that it has started. While the object lives and is not cancelled, `runAll` does it.
public final class EmergencyCleanup: Sendable {
  private struct Registry {
    var last = 0
    var actions: [Int: @Sendable () -> Void] = [:]
  }

  private static let registry = Mutex(Registry())
  private let number: Int

  /// - Parameter action: is called on another thread than the one that registers it. It must not wait for that one.
  public init(_ action: @escaping @Sendable () -> Void) {
    number = Self.registry.withLock { registry in
      registry.last += 1
      registry.actions[registry.last] = action
      return registry.last
    }
  }

  deinit { cancel() }

  /// There is nothing to undo any more.
  public func cancel() { Self.registry.withLock { [number] in $0.actions[number] = nil } }

  /// Undoes everything, the latest first: a program ends before the folder goes that it writes to.
  public static func runAll() {
    let actions = registry.withLock { registry in
      defer { registry.actions.removeAll() }
      return registry.actions.sorted { $0.key > $1.key }.map(\.value)
    }
    for action in actions { action() }
  }
}
