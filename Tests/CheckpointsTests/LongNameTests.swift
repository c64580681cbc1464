import Checkpoints
import Foundation
import Testing

@Suite struct LongNameTests {
  @Test func `a name that has room stays what it is`() {
    #expect(FileSystem.path("/tmp/ball", suffix: ".run.safetensors") == "/tmp/ball.run.safetensors")
    #expect(FileSystem.path("ball", suffix: ".png") == "ball.png")
  }

  @Test(arguments: ["v", "é", "球", "👩‍👩‍👧"])
  func `a long name is cut between characters, and two stay two`(_ character: String) {
    let folder = NSTemporaryDirectory()
    let names = ["a", "b"].map { end in
      FileSystem.path(
        folder + String(repeating: character, count: 250 / character.utf8.count) + end, suffix: ".run.safetensors")
    }
    for name in names {
      let last = FileSystem.name(of: name)
      #expect(last.utf8.count <= 255 && last.utf8.count > 200 && last.hasPrefix(character), "\(last)")
      #expect(last.hasSuffix(".run.safetensors") && name.hasPrefix(folder))
    }
    #expect(names[0] != names[1])
  }

  @Test func `a file of the longest name is written, and its leftovers are found`() throws {
    let folder = try TemporaryFolder()
    let path = folder.path + "/" + String(repeating: "n", count: 255)
    try FileSystem.write([1, 2, 3], to: path)
    #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == Data([1, 2, 3]))
    let name = PartialName.make(for: path)
    #expect(FileSystem.name(of: name).utf8.count <= 255)
    // A process that there is not.
    let leftover = name.replacing(".\(getpid()).", with: ".4194305.")
    try Data().write(to: URL(fileURLWithPath: leftover))
    #expect(PartialName.leftovers(of: path) == [leftover])
  }
}
