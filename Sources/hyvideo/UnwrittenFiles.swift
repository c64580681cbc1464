/// Files beside whole videos that could not be written: no reason to leave other videos unmade, but for a status that says so.
struct UnwrittenFiles: Error, CustomStringConvertible {
  private var failures: [(path: String, reason: any Error)] = []

  var isEmpty: Bool { failures.isEmpty }

  /// Writes a file, or tells at once why it is not there.
  mutating func attempt(_ path: String, _ observer: RunObserver, _ write: () throws -> Void) {
    do { try write() } catch {
      failures.append((path, error))
      observer.warn("\(error)")
    }
  }

  var description: String {
    let first = failures.first.map { "\($0.reason)" } ?? ""
    let others = failures.dropFirst().map(\.path)
    return first + (others.isEmpty ? "" : "; nor are there: \(others.joined(separator: ", "))")
      + "; the videos are whole"
  }
}
