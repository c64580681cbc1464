import AscendBackend
import Foundation
import TensorTesting
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// An emulated CANN of its own: a copy of the library, so that nothing that other tests do is seen in it.
final class EmulatedCANN: @unchecked Sendable {
  // Sendable: the library guards its state.
  private let folder: URL
  private let handle: UnsafeMutableRawPointer
  let path: String

  /// The library is not beside the tests, or does not load.
  enum SetupError: Error {
    case notBuilt(String)
  }

  /// - Parameters:
  ///   - devices: How many devices there are.
  ///   - byteCount: The memory of each.
  init(devices: Int = 1, byteCount: Int = 2 << 30) throws {
    folder = FileManager.default.temporaryDirectory.appendingPathComponent("hyvideo-emulator-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    path = folder.appendingPathComponent("libAscendEmulator.so").path
    try FileManager.default.copyItem(atPath: BuiltProducts.path("libAscendEmulator.so"), toPath: path)
    guard let handle = dlopen(path, RTLD_NOW | RTLD_LOCAL) else {
      throw SetupError.notBuilt(dlerror().map { String(cString: $0) } ?? path)
    }
    self.handle = handle
    try function("ascend_emulator_reset", (@convention(c) (Int32, Int) -> Void).self)(Int32(devices), byteCount)
  }

  deinit { try? FileManager.default.removeItem(at: folder) }

  /// The libraries as the backend finds them.
  func libraries(hiding hidden: Set<String> = []) throws -> CANNLibraries {
    try CANNLibraries(environment: ["HYVIDEO_CANN_LIBRARY_PATH": path], hiding: hidden)
  }

  /// A device, and with it a backend.
  func backend(hiding hidden: Set<String> = [], memory: AscendDevice.Memory = .direct) throws -> AscendBackend {
    AscendBackend(device: try AscendDevice(index: 0, libraries: libraries(hiding: hidden), memory: memory))
  }

  /// Rules that were broken, in words.
  func violations() throws -> [String] { try lines("ascend_emulator_violations") }

  /// What profilers were told.
  func ranges() throws -> [String] { try lines("ascend_emulator_ranges") }

  /// What is alive, in words.
  func leaks() throws -> [String] { try lines("ascend_emulator_leaks") }

  /// What is alive after a device's thread has had the time to end.
  func leaksAtTheEnd() throws -> [String] {
    for _ in 0..<1000 {
      if try leaks().isEmpty { break }
      usleep(10_000)
    }
    return try leaks()
  }

  /// How often an operator ran.
  func runs(_ name: String) throws -> Int {
    try function("ascend_emulator_runs", (@convention(c) (UnsafePointer<CChar>) -> Int).self)(name)
  }

  /// How many bytes devices have sent each other.
  func bytesSent() throws -> Int {
    Int(try function("ascend_emulator_bytes_sent", (@convention(c) () -> UInt64).self)())
  }

  /// Lets the k-th allocation from now on and all after it fail; 0 ends it.
  func failAllocation(_ k: Int) throws {
    try function("ascend_emulator_fail_allocation", (@convention(c) (Int) -> Void).self)(k)
  }

  /// The same of the host's pinned memory.
  func failPinned(_ k: Int) throws {
    try function("ascend_emulator_fail_pinned", (@convention(c) (Int) -> Void).self)(k)
  }

  /// Lets collective operations that begin from now on wait before they send anything.
  func holdCollectives(_ holds: Bool) throws {
    try function("ascend_emulator_hold_collectives", (@convention(c) (Int32) -> Void).self)(holds ? 1 : 0)
  }

  /// Lets the n-th kernel from now on fail.
  func failKernel(_ n: Int) throws {
    try function("ascend_emulator_fail_kernel", (@convention(c) (Int) -> Void).self)(n)
  }

  /// A function of the library.
  func function<Function>(_ name: String, _ type: Function.Type) throws -> Function {
    let address = try #require(dlsym(handle, name), "the emulator has no \(name)")
    return unsafeBitCast(address, to: type)
  }

  private func lines(_ name: String) throws -> [String] {
    var text = [CChar](repeating: 0, count: 10_000)
    _ = try function(name, (@convention(c) (UnsafeMutablePointer<CChar>, Int) -> Int).self)(&text, text.count)
    return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
      .split(separator: "\n").map(String.init)
  }
}
