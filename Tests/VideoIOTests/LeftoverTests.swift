import Foundation
import Testing
import VideoIO

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What processes that were killed have left in a folder.
@Suite struct LeftoverTests {
  /// The number of a process that has ended.
  private func endedProcess() throws -> Int32 {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/true")
    try process.run()
    process.waitUntilExit()
    return process.processIdentifier
  }

  @Test func `leftovers of ended processes are removed, and nothing else`() throws {
    let folder = try TemporaryFolder()
    let ended = try endedProcess()
    func path(_ name: String) -> String { "\(folder.path)/\(name)" }
    func make(_ name: String) { _ = FileManager.default.createFile(atPath: path(name), contents: Data([1])) }
    let gone = [".hyvideo-\(ended)-a1.mp4", ".hyvideo-\(ended)-a2.tmp", ".hyvideo-\(ended)-a3"]
    let kept = [
      // The process lives; the number is none; names of others; locked by somebody; a link.
      ".hyvideo-\(getpid())-b1.mp4", ".hyvideo-x-b2.mp4", ".hyvideo-", "hyvideo-\(ended)-b3.mp4", "video.mp4",
      ".hyvideo-\(ended)-b4.mp4", ".hyvideo-\(ended)-b5.mp4", ".hyvideo-\(ended)-b6",
    ]
    for name in gone.prefix(2) + kept.prefix(6) { make(name) }
    try FileManager.default.createDirectory(atPath: path(gone[2]), withIntermediateDirectories: false)
    make(gone[2] + "/frame_0001.png")
    // A folder with something else in it stays.
    try FileManager.default.createDirectory(atPath: path(kept[7]), withIntermediateDirectories: false)
    make(kept[7] + "/thesis.txt")
    #expect(symlink("video.mp4", path(kept[6])) == 0)
    let lock = open(path(kept[5]), O_RDONLY)
    #expect(flock(lock, LOCK_EX | LOCK_NB) == 0)
    defer { close(lock) }

    try VideoWriter.checkOutput(path: path("video.mp4"))
    let names = Set(try FileManager.default.contentsOfDirectory(atPath: folder.path))
    #expect(names == Set(kept), "\(names.symmetricDifference(kept))")
    #expect(FileManager.default.fileExists(atPath: path(kept[7] + "/thesis.txt")))
  }
}
