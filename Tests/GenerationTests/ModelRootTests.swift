import Checkpoints
import Foundation
import Generation
import TensorTesting
import Testing

/// Folders that people take for a checkpoint.
@Suite struct ModelRootTests {
  private static let cache = "hub/models--owner--name"

  @Test func `a folder of the Hugging Face cache stands for the snapshot of its main branch`() throws {
    let copy = try CheckpointCopy(at: "\(Self.cache)/snapshots/0123abcd")
    let root = copy.base + "/" + Self.cache
    #expect(try ModelFolder(root).root == root + "/snapshots/0123abcd")
    // The main branch counts where there are more.
    try FileManager.default.createDirectory(atPath: root + "/snapshots/4567", withIntermediateDirectories: true)
    let several = try #require(throws: RequestError.self) { try ModelFolder(root) }
    for word in ["0123abcd", "4567", "--model"] { #expect("\(several)".contains(word), "\(several)") }
    try FileManager.default.createDirectory(atPath: root + "/refs", withIntermediateDirectories: true)
    try "0123abcd\n".write(toFile: root + "/refs/main", atomically: true, encoding: .utf8)
    #expect(try ModelFolder(root).root == root + "/snapshots/0123abcd")
    #expect(ModelFolder.isModel(root))
    // A reference is a name, not a path.
    try "../../../../etc".write(toFile: root + "/refs/main", atomically: true, encoding: .utf8)
    #expect(throws: RequestError.self) { try ModelFolder(root) }
  }

  @Test func `the cache of all checkpoints is answered with those that are in it`() throws {
    let copy = try CheckpointCopy(at: "\(Self.cache)/snapshots/0123abcd")
    for folder in [copy.base + "/hub", copy.base] {
      let error = try #require(throws: RequestError.self) { try ModelFolder(folder) }
      #expect("\(error)".contains("did you mean --model \(copy.base)/\(Self.cache)"), "\(error)")
    }
  }

  @Test(arguments: [
    "", "/model/text_encoder", "/model/hunyuan-video-t2v-720p", "/model/hunyuan-video-t2v-720p/transformers/",
  ])
  func `a folder above or below a checkpoint is answered with the checkpoint`(_ place: String) throws {
    let copy = try CheckpointCopy()
    let error = try #require(throws: RequestError.self) { try ModelFolder(copy.base + place) }
    #expect("\(error)".contains("did you mean --model \(copy.root)?"), "\(error)")
  }

  @Test(arguments: [
    (CheckpointCopy.transformer, "--dit-weight"), (CheckpointCopy.autoencoder, "--vae-path"),
    ("text_encoder/model.safetensors", "--text-encoder-path"),
    ("text_encoder_2/model.safetensors", "--text-encoder-2-path"),
  ])
  func `a file in place of a folder is answered with its flag`(_ file: String, _ flag: String) throws {
    let error = try #require(throws: RequestError.self) {
      try ModelFolder(Goldens.repositoryPath("Models/demo/\(file)"))
    }
    #expect("\(error)".contains("name the file with \(flag)"), "\(error)")
  }

  // MARK: ComfyUI

  /// ComfyUI's folder, with parts in folders of their own.
  private func comfy(_ places: [String: String]) throws -> CheckpointCopy {
    let copy = try CheckpointCopy(empty: "models")
    for (part, place) in places {
      let source = [
        "dit": CheckpointCopy.transformer, "vae": CheckpointCopy.autoencoder, "llama": "text_encoder/model.safetensors",
      ]
      let file = source[part] ?? "text_encoder_2/model.safetensors"
      try copy.link("\(place)/\(part).safetensors", toPackage: "Models/demo/\(file)")
      try copy.link(
        "\(place)/config.json", toPackage: "Models/demo/\((file as NSString).deletingLastPathComponent)/config.json")
    }
    return copy
  }

  private var tokenizers: ModelParts {
    var parts = ModelParts()
    parts.tokenizer = Goldens.repositoryPath("Models/demo/text_encoder")
    parts.tokenizer2 = Goldens.repositoryPath("Models/demo/text_encoder_2")
    return parts
  }

  private static let sorted = [
    "dit": "diffusion_models/hunyuan", "vae": "vae/hunyuan/13b", "llama": "text_encoders/hunyuan", "clip": "clip/old",
  ]

  @Test func `parts are found in ComfyUI's subfolders, and in both of its folders for encoders`() throws {
    let copy = try comfy(Self.sorted)
    let model = try ModelFolder(copy.root, parts: tokenizers)
    #expect(model.transformer == copy.root + "/diffusion_models/hunyuan/dit.safetensors")
    #expect(model.autoencoder == copy.root + "/vae/hunyuan/13b/vae.safetensors")
    #expect(
      model.textEncoder.hasSuffix("hunyuan/llama.safetensors")
        && model.textEncoder2.hasSuffix("clip/old/clip.safetensors"))
    // Another network beside them is no candidate, in whatever folder.
    try copy.link("diffusion_models/other.safetensors", toPackage: "Models/demo/\(CheckpointCopy.autoencoder)")
    try copy.link("diffusion_models/wan/other.safetensors", toPackage: "Models/demo/\(CheckpointCopy.autoencoder)")
    #expect(try ModelFolder(copy.root, parts: tokenizers).transformer == model.transformer)
  }

  @Test func `two candidates in subfolders are listed with the flag that chooses`() throws {
    let copy = try comfy(Self.sorted)
    try copy.link("diffusion_models/b/dit.safetensors", toPackage: "Models/demo/\(CheckpointCopy.transformer)")
    let error = try #require(throws: RequestError.self) { try ModelFolder(copy.root, parts: tokenizers) }
    for word in ["hunyuan/dit.safetensors", "b/dit.safetensors", "--dit-weight"] {
      #expect("\(error)".contains(word), "\(error)")
    }
  }

  @Test func `what is in a folder without the wanted network is told`() throws {
    var places = Self.sorted
    places["dit"] = nil
    let copy = try comfy(places)
    try copy.link("diffusion_models/x/wrong.safetensors", toPackage: "Models/demo/\(CheckpointCopy.autoencoder)")
    let error = try #require(throws: RequestError.self) { try ModelFolder(copy.root, parts: tokenizers) }
    #expect("\(error)".contains("x/wrong.safetensors (a HunyuanVideo causal 3-D autoencoder)"), "\(error)")
  }

  @Test func `folders that lead back to themselves end the search`() throws {
    let copy = try comfy(Self.sorted)
    let loop = copy.root + "/diffusion_models/loop"
    try FileManager.default.createSymbolicLink(atPath: loop, withDestinationPath: copy.root + "/diffusion_models")
    let error = try #require(throws: RequestError.self) { try ModelFolder(copy.root, parts: tokenizers) }
    #expect("\(error)".contains("loop/hunyuan/dit.safetensors"), "\(error)")
  }
}
