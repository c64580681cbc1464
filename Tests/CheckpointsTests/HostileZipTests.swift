import Checkpoints
import TensorCore
import Testing

struct HostileZipTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private let zeros = [UInt8](repeating: 0, count: 16)
  private let pickle = Pickle.file(Pickle.dictionary(("w", Pickle.tensor())))

  private func archive() -> ZipWriter { ZipWriter(pickle: pickle, storages: [zeros]) }

  private func expectRefusal(_ bytes: [UInt8], _ words: String..., sourceLocation: SourceLocation = #_sourceLocation)
    throws
  {
    let path = try folder.write(bytes, "model.pt")
    let error = try #require(throws: CheckpointError.self, sourceLocation: sourceLocation) {
      try Checkpoint(path: path)
    }
    for word in words + [path] {
      #expect("\(error)".contains(word), "\(word): \(error)", sourceLocation: sourceLocation)
    }
  }

  @Test(arguments: ["/etc/cron.d/x", "../x", "a/../../x", "C:/x", "a\\b", "a\0b", ""])
  func `names that lead out of the archive are refused`(name: String) throws {
    var archive = archive()
    archive.entries.append(ZipWriter.Entry(name, [1]))
    try expectRefusal(archive.bytes(), "leads out")
  }

  @Test func `entries that share bytes are refused`() throws {
    // The first entry's contents are an archive; the directory points into it.
    var archive = ZipWriter([ZipWriter.Entry("archive/data.pkl", ZipWriter(pickle: [1, 2, 3]).bytes())])
    archive.entries.append(ZipWriter.Entry("archive/data.pkl", [1, 2, 3]))
    try expectRefusal(archive.bytes(), "archive/data.pkl", "it twice")
    archive.entries[0].name = "outer"
    archive.entries[1].claimedOffset = UInt64(30 + "outer".utf8.count)
    try expectRefusal(archive.bytes(), "archive/data.pkl", "bytes shared with outer")
    archive.entries[1].name = "archive/other"
    try expectRefusal(archive.bytes(), "archive/other", "name that the directory says")
  }

  @Test func `a deflated entry that claims more than deflate can hold is refused`() throws {
    var archive = archive()
    archive.entries[1].method = 8
    archive.entries[1].stored = [3, 0]
    archive.entries[1].claimedByteCount = 1 << 31
    try expectRefusal(archive.bytes(), "archive/data/0", "1032 times")
    archive.entries[1].claimedByteCount = 1 << 60
    archive.entries[1].isWide = true
    try expectRefusal(archive.bytes(), "1032 times")
  }

  @Test func `a deflated entry that is broken, short, long or altered is refused when the file is opened`() throws {
    // 16 zeros as a stored block of a deflate stream.
    let whole: [UInt8] = [1, 16, 0, 0xEF, 0xFF] + zeros
    func deflated(_ stored: [UInt8], claimed: UInt64? = nil, contents: [UInt8]? = nil) -> [UInt8] {
      var archive = archive()
      archive.entries[1].method = 8
      archive.entries[1].stored = stored
      archive.entries[1].claimedByteCount = claimed
      if let contents { archive.entries[1].contents = contents }
      return archive.bytes()
    }
    let path = try folder.write(deflated(whole), "model.pt")
    #expect(try #require(try Checkpoint(path: path)["w"]).tensor.floats() == [0, 0, 0, 0])
    try expectRefusal(deflated(Array(whole.dropLast())), "ends too early")
    try expectRefusal(deflated([0xFF] + whole), "broken stream")
    try expectRefusal(deflated(whole, claimed: 15), "more than the 15")
    try expectRefusal(deflated(whole, claimed: 17), "16 bytes instead of 17")
    try expectRefusal(deflated(Array(whole.dropLast()) + [1]), "checksum")
  }

  @Test func `a pickle that inflates to more than any weights need is refused before it is inflated`() throws {
    var archive = archive()
    archive.entries[0].method = 8
    archive.entries[0].stored = [UInt8](repeating: 0, count: 1 << 18)
    archive.entries[0].claimedByteCount = 1 << 27
    try expectRefusal(archive.bytes(), "data.pkl", "at most 16777216")
  }

  @Test func `an altered pickle is refused by its checksum`() throws {
    var bytes = archive().bytes()
    let place = try #require(bytes.firstRange(of: Array("FloatStorage".utf8))).lowerBound
    bytes.replaceSubrange(place..<place + 5, with: Array("Short".utf8))
    try expectRefusal(bytes, "checksum")
  }

  @Test func `a directory that lies is refused`() throws {
    var many = archive()
    many.claimedCount = 60_000
    try expectRefusal(many.bytes(), "found 60000")
    many.isWide = true
    many.claimedCount = 1 << 40
    try expectRefusal(many.bytes(), "1099511627776")
    many.claimedCount = .max
    try expectRefusal(many.bytes(), "below 2^63")
    var far = archive()
    far.entries[1].claimedOffset = 1 << 30
    try expectRefusal(far.bytes(), "archive/data/0", "1073741824")
    far.entries[1].isWide = true
    far.entries[1].claimedOffset = UInt64(Int.max)
    try expectRefusal(far.bytes(), "archive/data/0")
    var long = archive()
    long.entries[1].claimedByteCount = 1 << 20
    try expectRefusal(long.bytes(), "as many as are stored")
    try expectRefusal(Array(archive().bytes().dropLast(5)), "not whole")
    try expectRefusal(Array("PK\u{3}\u{4}".utf8), "not whole")
  }

  @Test func `encrypted entries and other methods are refused`() throws {
    var archive = archive()
    archive.entries[1].flags = 1
    try expectRefusal(archive.bytes(), "encrypted")
    archive.entries[1].flags = 0
    archive.entries[1].method = 12
    try expectRefusal(archive.bytes(), "compression method 12")
  }

  @Test func `archives of other programs are named`() throws {
    try expectRefusal(ZipWriter([ZipWriter.Entry("readme.txt", [65])]).bytes(), "0 entries data.pkl")
    var script = archive()
    script.entries.append(ZipWriter.Entry("archive/constants.pkl", [0x29, 0x2E]))
    try expectRefusal(script.bytes(), "TorchScript")
    var swapped = archive()
    swapped.entries.append(ZipWriter.Entry("archive/byteorder", Array("big".utf8)))
    try expectRefusal(swapped.bytes(), "big-endian")
    var two = archive()
    two.entries.append(ZipWriter.Entry("other/data.pkl", pickle))
    try expectRefusal(two.bytes(), "2 entries data.pkl")
    try expectRefusal([0x80, 2, 0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9], "before version 1.6")
  }
}
