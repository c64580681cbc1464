import Checkpoints
import TensorCore
import Testing

/// Files are known by their contents, and what is none of weights is named.
struct FileStartTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func message(_ bytes: [UInt8], _ name: String = "model.safetensors") throws -> String {
    let path = try folder.write(bytes, name)
    return "\(try #require(throws: CheckpointError.self) { try Checkpoint(path: path) })"
  }

  @Test(arguments: [19_280, 0x4B50 + 0x0100]) func `a header as long as to begin with PK is a safetensors file's`(
    length: Int
  ) throws {
    let entry = Safetensors.entry("a", "F32", "[2]", 0, 8)
    let header = "{\(entry)" + String(repeating: " ", count: length - entry.utf8.count - 2) + "}"
    let path = try folder.write(header: header, dataByteCount: 8, "model.pt")
    #expect(try Fixture.bytes(path)[0] == 0x50 && header.utf8.count == length)
    #expect(try Checkpoint(path: path)["a"]?.shape == [2])
    #expect(try CheckpointFormat(of: path) == .safetensors)
    #expect(try SafetensorsFile(path: path).tensors.count == 1)
  }

  @Test func `the name of a file does not matter`() throws {
    let pickle = Pickle.file(Pickle.dictionary(("w", Pickle.tensor())))
    let archive = ZipWriter(pickle: pickle, storages: [[UInt8](repeating: 0, count: 16)]).bytes()
    for name in ["model.safetensors", "model.gguf", "model.sft", "model"] {
      let path = try folder.write(archive, name)
      #expect(try CheckpointFormat(of: path) == .pytorch && Checkpoint(path: path)["w"]?.shape == [2, 2])
    }
    let path = try folder.write(GGUFWriter().bytes(), "model.pt")
    #expect(try CheckpointFormat(of: path) == .gguf && Checkpoint(path: path)["w"]?.shape == [2, 2])
  }

  @Test func `a folder's file with another usual ending is its checkpoint`() throws {
    _ = try folder.write(header: "{\(Safetensors.entry("a", "F32", "[2]", 0, 8))}", dataByteCount: 8, "model.sft")
    #expect(try Checkpoint(path: folder.path)["a"]?.shape == [2])
  }

  @Test(arguments: [
    ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "a Git LFS pointer", "git lfs pull"),
    ("<!DOCTYPE html><html>", "a web page", "the file itself"), ("\n <html>", "a web page", "the file itself"),
    ("<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>", "a web page", "the file itself"),
    ("{\"error\":\"Repository not found\"}", "a text ({\"error\":\"Repository not found\"})", "weights itself"),
    ("Entry not found", "a text (Entry not found)", "weights itself"),
    ("\u{FEFF}Invalid username or password.\r\n", "a text (Invalid username or password.)", "weights itself"),
    (String(repeating: "é ", count: 4000), "a text (é", "weights itself"), ("", "an empty file", "download"),
  ])
  func `what a server leaves in the place of a file is named`(text: String, found: String, remedy: String) throws {
    for name in ["model.safetensors", "model.pt", "model.gguf"] {
      let message = try message(Array(text.utf8), name)
      #expect(message.contains("found \(found)") && message.contains(remedy), "\(message)")
    }
  }

  @Test(
    arguments: [
      (
        [0x80, 2, 0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, 0x2E], "before version 1.6",
        "torch.load"
      ),
      (
        [
          0x80, 4, 0x95, 9, 0, 0, 0, 0, 0, 0, 0, 0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19,
        ],
        "before version 1.6", "torch.load"
      ),
      ([0x80, 3, 0x7D, 0x2E], "a pickle without", "torch.save"), ([0x1F, 0x8B, 8, 0], "compressed", "unpack"),
      ([0x89, 0x48, 0x44, 0x46, 0x0D], "HDF5", "safetensors"), ([0x93] + Array("NUMPY".utf8), "NumPy", "safetensors"),
      (Array("tjgg".utf8) + [1, 0, 0, 0], "ggml", "GGUF"),
      (Array("PK".utf8) + [5, 6] + [UInt8](repeating: 0, count: 18), "0 entries data.pkl", "weights"),
    ] as [([UInt8], String, String)])
  func `files of other formats are named`(bytes: [UInt8], found: String, remedy: String) throws {
    let message = try message(bytes, "model.pt")
    #expect(message.contains(found) && message.contains(remedy) && !message.contains("malformed"), "\(message)")
  }

  @Test func `a download that is cut short is named as such`() throws {
    let bytes = Safetensors.file(header: "{\(Safetensors.entry("a", "F32", "[4]", 0, 16))}", dataByteCount: 16)
    #expect(try message(Array(bytes.dropLast(5))).contains("cut short"))
    let pickle = Pickle.file(Pickle.dictionary(("w", Pickle.tensor())))
    let archive = ZipWriter(pickle: pickle, storages: [[UInt8](repeating: 0, count: 16)]).bytes()
    #expect(try message(Array(archive.dropLast(30))).contains("the file is not whole"))
    #expect(try message(Array(GGUFWriter().bytes().dropLast(4))).contains("cut short"))
  }
}
