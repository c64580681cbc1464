import CPUBackend
import Checkpoints
import Foundation
import Generation
import HunyuanVideo
import Layers
import TensorCore
import TensorTesting
import Testing

/// Where the parts of a checkpoint are found.
@Suite struct ModelFolderTests {
  /// A folder of links into the package, gone with its value.
  private final class Folder {
    let root = NSTemporaryDirectory() + "hyvideo-layout-\(UUID().uuidString)"

    func link(_ name: String, to target: String) throws {
      let path = root + "/" + name
      try FileManager.default.createDirectory(
        atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
      try FileManager.default.createSymbolicLink(
        atPath: path, withDestinationPath: Goldens.repositoryPath(target))
    }

    deinit { try? FileManager.default.removeItem(atPath: root) }
  }

  private let demo = "Models/demo"
  private let tencent = "Models/demo/hunyuan-video-t2v-720p"
  private let transformerFile = "transformers/mp_rank_00_model_states.safetensors"

  @Test func `Tencent's folder is recognized without a description`() throws {
    let folder = Folder()
    for name in ["hunyuan-video-t2v-720p", "text_encoder", "text_encoder_2"] {
      try folder.link(name, to: "\(demo)/\(name)")
    }
    let model = try ModelFolder(folder.root)
    #expect(model.layout == .tencent && model.defaults.steps == 50)
    #expect(model.transformer.hasSuffix("mp_rank_00_model_states.safetensors"))
    #expect(model.tokenizer == folder.root + "/text_encoder")
  }

  @Test func `Tencent's folder as downloaded has PyTorch files, of which the 16-bit ones are taken`() throws {
    let folder = Folder()
    let (transformers, vae) = ("hunyuan-video-t2v-720p/transformers", "hunyuan-video-t2v-720p/vae")
    try folder.link(
      "\(transformers)/mp_rank_00_model_states.pt", to: "Tests/Goldens/formats/transformer/mp_rank_00_model_states.pt")
    for name in ["config.json", "mp_rank_00_model_states_fp8.pt", "mp_rank_00_model_states_fp8_map.pt"] {
      try folder.link("\(transformers)/\(name)", to: "Tests/Goldens/layouts/tencent_fp8/\(name)")
    }
    for name in ["config.json", "pytorch_model.pt"] {
      try folder.link("\(vae)/\(name)", to: "Tests/Goldens/layouts/tencent_vae/\(name)")
    }
    for name in ["text_encoder", "text_encoder_2"] { try folder.link(name, to: "\(demo)/\(name)") }
    let model = try ModelFolder(folder.root)
    #expect(model.layout == .tencent && model.transformer.hasSuffix("mp_rank_00_model_states.pt"))
    #expect(model.autoencoder.hasSuffix("pytorch_model.pt"))
    #expect(try model.transformerNetwork().checkpoint.typeCounts.keys.sorted() == ["float16"])
    #expect(try model.autoencoderNetwork().names.name == "Tencent, prefix vae.")

    let eightBit = "\(folder.root)/\(transformers)/mp_rank_00_model_states_fp8.pt"
    let chosen = try ModelFolder(folder.root, parts: ModelParts(transformer: eightBit)).transformerNetwork()
    let weight = try chosen.scope()["double_blocks.0.img_attn_qkv"].weight("weight", shape: [120, 40])
    guard case .scaled(_, roundsToBFloat16: true) = weight.encoding else {
      Issue.record("no factor: \(weight.encoding)")
      return
    }
  }

  @Test func `a LLaVA folder as downloaded stands for the text encoder`() throws {
    let folder = Folder()
    try folder.link("hunyuan-video-t2v-720p", to: tencent)
    try folder.link("text_encoder_2", to: "\(demo)/text_encoder_2")
    try folder.link(
      "llava-llama-3-8b-v1_1-transformers/model.safetensors", to: "Tests/Goldens/layouts/llava/model.safetensors")
    try folder.link("llava-llama-3-8b-v1_1-transformers/config.json", to: "Tests/Goldens/layouts/llava/config.json")
    try folder.link("llava-llama-3-8b-v1_1-transformers/tokenizer.json", to: "\(demo)/text_encoder/tokenizer.json")
    let model = try ModelFolder(folder.root)
    #expect(model.textEncoder.contains("llava-llama-3-8b"))
  }

  @Test func `a transformer for other text encoders is refused with both widths`() throws {
    let transformer = Goldens.path("transformer/guidance/weights.safetensors")
    let model = try ModelFolder(Goldens.repositoryPath(demo), parts: ModelParts(transformer: transformer))
    let pipeline = VideoPipeline(model, in: ForwardContext(backend: CPUBackend()), observer: SilentObserver())
    let error = try #require(throws: RequestError.self) { try pipeline.verify([]) }
    #expect("\(error)".contains("32 channels") && "\(error)".contains("128"))
  }

  @Test func `diffusers' folder is recognized, shards and tokenizer folders included`() throws {
    let folder = Folder()
    for name in ["transformer", "vae", "text_encoder", "text_encoder_2"] {
      try folder.link(name, to: "Tests/Goldens/layouts/diffusers/\(name)")
    }
    try folder.link("tokenizer", to: "\(demo)/text_encoder")
    try folder.link("tokenizer_2", to: "\(demo)/text_encoder_2")
    let model = try ModelFolder(folder.root)
    #expect(model.layout == .diffusers && model.transformer == folder.root + "/transformer")
    #expect(model.autoencoder.hasSuffix("vae/diffusion_pytorch_model.safetensors"))
    #expect(model.tokenizer == folder.root + "/tokenizer" && model.tokenizer2 == folder.root + "/tokenizer_2")
    #expect(try model.transformerNetwork().names.name == "diffusers")
  }

  @Test func `ComfyUI's folder of single files gives the latents of Tencent's`() throws {
    let folder = Folder()
    try folder.link("diffusion_models/hunyuan_video.safetensors", to: "\(tencent)/\(transformerFile)")
    try folder.link("diffusion_models/config.json", to: "\(tencent)/transformers/config.json")
    try folder.link("vae/hunyuan_video_vae.safetensors", to: "\(tencent)/vae/pytorch_model.safetensors")
    try folder.link("vae/config.json", to: "\(tencent)/vae/config.json")
    try folder.link("text_encoders/llava_llama3.safetensors", to: "\(demo)/text_encoder/model.safetensors")
    try folder.link("text_encoders/config.json", to: "\(demo)/text_encoder/config.json")
    // A second network in the folder is no second candidate.
    try folder.link("text_encoders/clip_l.safetensors", to: "\(demo)/text_encoder_2/model.safetensors")
    let missing = try #require(throws: RequestError.self) { try ModelFolder(folder.root) }
    #expect("\(missing)".contains("--tokenizer-path"))
    var parts = ModelParts()
    parts.tokenizer = Goldens.repositoryPath("\(demo)/text_encoder")
    parts.tokenizer2 = Goldens.repositoryPath("\(demo)/text_encoder_2")
    let found = try ModelFolder(folder.root, parts: parts)
    #expect(found.layout == .comfy && found.textEncoder.hasSuffix("llava_llama3.safetensors"))
    #expect(found.textEncoder2.hasSuffix("clip_l.safetensors"))

    // CLIP's tiny sizes are in a folder of their own.
    parts.textEncoder2 = Goldens.repositoryPath("\(demo)/text_encoder_2")
    let context = ForwardContext(backend: CPUBackend())
    func latents(_ model: ModelFolder) throws -> [Float] {
      let pipeline = VideoPipeline(model, in: context, observer: SilentObserver())
      try pipeline.verify([])
      var request = GenerationRequest(prompt: "A red ball.", seed: 3, defaults: ModelDefaults())
      (request.height, request.width, request.frames, request.steps) = (32, 32, 5, 1)
      return try pipeline.denoise(request, texts: pipeline.encode([request])[0]).floats()
    }
    let own = try ModelFolder(Goldens.repositoryPath(demo))
    #expect(try latents(ModelFolder(folder.root, parts: parts)) == latents(own))
  }

  @Test func `two releases in a folder and two files of one network are refused with the flag that chooses`() throws {
    let folder = Folder()
    try folder.link("transformer", to: "Tests/Goldens/layouts/diffusers/transformer")
    try folder.link("hunyuan-video-t2v-720p", to: tencent)
    let two = try #require(throws: RequestError.self) { try ModelFolder(folder.root) }
    #expect("\(two)".contains("--dit-weight") && "\(two)".contains("transformer of diffusers"))

    let comfy = Folder()
    for name in ["a", "b"] { try comfy.link("unet/\(name).safetensors", to: "\(tencent)/\(transformerFile)") }
    let candidates = try #require(throws: RequestError.self) { try ModelFolder(comfy.root) }
    for part in ["a.safetensors", "b.safetensors", "--dit-weight"] { #expect("\(candidates)".contains(part)) }
  }

  @Test(arguments: [
    ("hunyuan-video-t2v-720p/vae", "hunyuan-video-t2v-720p/vae/pytorch_model.safetensors", "--vae-path"),
    ("text_encoder", "text_encoder/model.safetensors", "--text-encoder-path"),
    ("text_encoder_2", "text_encoder_2/model.safetensors", "--text-encoder-2-path"),
  ])
  func `two files of any part are refused with the flag that chooses, which then does`(
    _ place: String, _ file: String, _ flag: String
  ) throws {
    let folder = Folder()
    for name in ["hunyuan-video-t2v-720p/transformers", "hunyuan-video-t2v-720p/vae", "text_encoder", "text_encoder_2"]
    where name != place { try folder.link(name, to: "\(demo)/\(name)") }
    for name in ["a", "b"] { try folder.link("\(place)/\(name).safetensors", to: "\(demo)/\(file)") }
    let error = try #require(throws: RequestError.self) { try ModelFolder(folder.root) }
    for part in ["a.safetensors", "b.safetensors", flag] { #expect("\(error)".contains(part), "\(error)") }

    var parts = ModelParts()
    let chosen = "\(folder.root)/\(place)/b.safetensors"
    if flag == "--vae-path" { parts.autoencoder = chosen }
    if flag == "--text-encoder-path" { parts.textEncoder = chosen }
    if flag == "--text-encoder-2-path" { parts.textEncoder2 = chosen }
    for path in ["text_encoder", "text_encoder_2"] {
      let folder = Goldens.repositoryPath("\(demo)/\(path)")
      if path == "text_encoder" { parts.tokenizer = folder } else { parts.tokenizer2 = folder }
    }
    let model = try ModelFolder(folder.root, parts: parts)
    #expect([model.autoencoder, model.textEncoder, model.textEncoder2].contains(chosen))
  }
}

private final class SilentObserver: GenerationObserver {}
