import Foundation
import TensorCore
import Testing

@Suite struct MappedFileTests {
  /// How many pages of a file the system has in memory.
  private func residentPages(_ file: MappedFile) -> Int {
    var pages = [UInt8](repeating: 0, count: (file.byteCount + 4095) / 4096)
    guard mincore(file.hostAddress, file.byteCount, &pages) == 0 else { return -1 }
    return pages.count { $0 & 1 == 1 }
  }

  @Test func `all of a long range is read ahead, beyond what the system reads at once`() throws {
    let path = NSTemporaryDirectory() + "hyvideo-mapped-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Data(repeating: 7, count: 48 << 20).write(to: URL(fileURLWithPath: path))
    let descriptor = open(path, O_RDONLY)
    try #require(descriptor >= 0)
    // A file that is on the disk alone. Where the folder is in memory, there is nothing to read, and all of it is there.
    fsync(descriptor)
    posix_fadvise(descriptor, 0, 0, Int32(POSIX_FADV_DONTNEED))
    close(descriptor)

    let file = try MappedFile(path: path)
    file.prefetch(0..<file.byteCount)
    let deadline = Date.now + 20
    while residentPages(file) < 48 << 8, Date.now < deadline { Thread.sleep(forTimeInterval: 0.01) }
    #expect(residentPages(file) == 48 << 8)
  }
}
