import Foundation
import Generation
import Testing

/// `--prompt-file`, whatever the file is.
@Suite struct PromptFileTests {
  private final class Folder {
    let root = NSTemporaryDirectory() + "hyvideo-prompts-\(UUID().uuidString)"
    init() { try? FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: true) }
    deinit { try? FileManager.default.removeItem(atPath: root) }
    func file(_ bytes: [UInt8]) throws -> String {
      try Data(bytes).write(to: URL(fileURLWithPath: root + "/p.txt"))
      return root + "/p.txt"
    }
  }

  static let texts: [(text: String, prompts: [String])] = [
    ("a\nb\n", ["a", "b"]), ("a\r\nb\r\n", ["a", "b"]), ("a\rb\r", ["a", "b"]), ("a\n\rb", ["a", "b"]),
    ("a", ["a"]), ("\n\n a \t\n \n\u{3000}\n\tb", ["a", "b"]), ("\u{FEFF}a\nb", ["a", "b"]),
    ("a\u{2028}b\n", ["a\u{2028}b"]), ("a\u{85}b\u{2029}c\u{0B}d\u{0C}e\n", ["a\u{85}b\u{2029}c\u{0B}d\u{0C}e"]),
    ("# no comment\n- a cat\n", ["# no comment", "- a cat"]), ("e\u{301} 👩‍🚀\n", ["e\u{301} 👩‍🚀"]),
  ]

  @Test(arguments: texts)
  func `a line ends with LF, CR LF or CR, and with nothing else`(_ text: String, _ prompts: [String]) throws {
    let folder = Folder()
    #expect(try PromptFile.prompts(in: folder.file(Array(text.utf8)), longest: 1000) == prompts)
  }

  static let refused: [(bytes: [UInt8], words: [String])] = [
    ([], ["an empty file"]), (Array(" \n\t\n".utf8), ["blank lines"]),
    ([0xFF, 0xFE, 0x61, 0, 0x0A, 0], ["UTF-16", "iconv"]), ([0xFE, 0xFF, 0, 0x61], ["UTF-16"]),
    ([0x61, 0x0A, 0x62, 0xFF, 0x0A], ["other bytes in line 2"]),
    ([0x61, 0x0D, 0x62, 0, 0x63], ["zero byte in line 2"]),
    (Array(repeating: 0x61, count: 1004), ["at most 1000 bytes", "line 1"]),
    (Array(String(repeating: "a\n", count: 10_001).utf8), ["at most 10000 prompts"]),
    (Array(repeating: 0x0A, count: 17 << 20), ["16 MiB"]),
  ]

  @Test(arguments: refused)
  func `what is no such text is refused with the line and what to do`(_ bytes: [UInt8], _ words: [String]) throws {
    let folder = Folder()
    let error = #expect(throws: RequestError.self) {
      try PromptFile.prompts(in: folder.file(bytes), longest: 1000)
    }
    for word in words { #expect(try #require(error).description.contains(word), "\(String(describing: error))") }
  }

  @Test func `a folder, nothing and devices are refused, and a pipe where ranks share it`() throws {
    let folder = Folder()
    let cases = [
      (folder.root, "a folder"), (folder.root + "/none", "nothing"), ("/dev/zero", "zero byte"), ("/dev/null", "empty"),
    ]
    for (path, word) in cases {
      let error = #expect(throws: RequestError.self) { try PromptFile.prompts(in: path, longest: 1000) }
      #expect(try #require(error).description.contains(word))
    }
    let pipe = folder.root + "/pipe"
    #expect(mkfifo(pipe, 0o600) == 0)
    let error = #expect(throws: RequestError.self) {
      try PromptFile.prompts(in: pipe, longest: 1000, isShared: true)
    }
    #expect(try #require(error).description.contains("every rank"))
  }

  @Test func `a pipe that nobody writes yet is waited for, and can be given up`() throws {
    struct GivenUp: Error {}
    let folder = Folder()
    let pipe = folder.root + "/pipe"
    #expect(mkfifo(pipe, 0o600) == 0)
    #expect(throws: GivenUp.self) {
      try PromptFile.prompts(in: pipe, longest: 1000) { seconds in if seconds == 1 { throw GivenUp() } }
    }
    let writer = Thread {
      guard let handle = FileHandle(forWritingAtPath: pipe) else { return }
      // A character and a line end in two pieces each.
      for part: [UInt8] in [[0xC3], [0xBC, 0x0D], [0x0A, 0x62]] {
        try? handle.write(contentsOf: Data(part))
        Thread.sleep(forTimeInterval: 0.05)
      }
      try? handle.close()
    }
    writer.start()
    #expect(try PromptFile.prompts(in: pipe, longest: 1000) == ["ü", "b"])
  }
}
