import Foundation

/// What SwiftPM has built beside the tests.
public enum BuiltProducts {
  /// The path of a program or library that is built with the tests, whether it is there or not.
  public static func path(_ name: String) -> String {
    // The bundle's own folder depends on who runs the tests; the file that runs does not.
    let tests = Bundle.main.executableURL ?? Bundle.main.bundleURL
    return tests.deletingLastPathComponent().appendingPathComponent(name).path
  }
}
