import Checkpoints
import Foundation
import StrictJSON
import TensorCore
import TensorTesting
import Testing

struct PublishedFilesTests {
  @Test(arguments: [
    ("hunyuan-video-t2v-720p/transformers", 136), ("hunyuan-video-t2v-720p/vae", 188), ("text_encoder", 48),
    ("text_encoder_2", 36),
  ])
  func `the demo checkpoint opens with all its tensors`(name: String, count: Int) throws {
    let checkpoint = try Checkpoint(path: Goldens.repositoryPath("Models/demo/\(name)"))
    #expect(checkpoint.tensors.count == count)
    #expect(checkpoint.typeCounts == ["float16": count])
    #expect(checkpoint.metadata == ["format": "pt"])
    for tensor in checkpoint.tensors {
      #expect(tensor.tensor.storage is MappedFile, "\(tensor.name) is not aligned")
      #expect(tensor.tensor.floats().allSatisfy { $0.isFinite }, "\(tensor.name)")
    }
  }

  @Test(arguments: [
    "hunyuan-video-t2v-720p/transformers/config.json", "hunyuan-video-t2v-720p/vae/config.json",
    "text_encoder/config.json",
    "text_encoder_2/config.json", "model.json", "text_encoder/tokenizer.json",
  ])
  func `the demo configurations are strict JSON`(name: String) throws {
    #expect(try !ConfigurationReader(contentsOf: Goldens.repositoryPath("Models/demo/\(name)")).keys.isEmpty)
  }

  @Test func `every golden file opens`() throws {
    let files = FileManager.default.enumerator(atPath: Goldens.path("")) ?? FileManager.DirectoryEnumerator()
    var count = 0
    for case let name as String in files {
      count += 1
      if name.hasSuffix(".safetensors") {
        let golden = try Goldens.tensors(name)
        #expect(!golden.names.isEmpty, "\(name)")
        for tensor in golden.names { #expect(try golden.tensor(tensor).count >= 0) }
      } else if name.hasSuffix(".json") {
        #expect(try Goldens.json(name) != .null, "\(name)")
      }
    }
    #expect(count > 0)
  }
}
