import Checkpoints
import Foundation
import HunyuanVideo
import TensorCore
import TensorTesting
import Testing

/// Networks as trainers and older tools save them: with names of wrappers, with buffers that are computed anyway, with
/// joined axes.
@Suite struct WrappedNetworkTests {
  private let folder: URL

  init() throws {
    folder = FileManager.default.temporaryDirectory.appending(path: "wrapped-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  }

  /// A golden network whose tensors are changed on their way into another file.
  private func network(
    _ path: String, _ kind: NetworkKind, _ change: (String, Tensor) -> (name: String, tensor: Tensor),
    adding more: [(name: String, tensor: Tensor)] = []
  ) throws -> (original: PublishedNetwork, changed: PublishedNetwork) {
    let original = try PublishedNetwork(path: Goldens.path(path), expecting: kind)
    let file = try #require(original.checkpoint.files.first)
    let configuration = URL(fileURLWithPath: file).deletingLastPathComponent().appending(path: "config.json")
    try? FileManager.default.copyItem(at: configuration, to: folder.appending(path: "config.json"))
    let tensors = original.checkpoint.tensors.map { change($0.name, $0.tensor) } + more
    let target = folder.appending(path: "model.safetensors").path
    try SafetensorsWriter.write(tensors, metadata: [:], to: target)
    return (original, try PublishedNetwork(path: target, expecting: kind))
  }

  private func build(_ network: PublishedNetwork) throws {
    let scope = network.scope()
    switch network.names.network {
    case .transformer: _ = try HunyuanVideoTransformer(scope, configuration: network.transformerConfiguration())
    case .autoencoder: _ = try VideoDecoder(scope, configuration: network.autoencoderConfiguration())
    case .llama: _ = try LlamaTextEncoder(scope, configuration: network.llamaConfiguration(), skippedLayers: 1)
    case .clip: _ = try CLIPTextEncoder(scope, configuration: network.clipConfiguration())
    }
    try scope.finish()
  }

  private func expectEqual(_ a: PublishedNetwork, _ b: PublishedNetwork) throws {
    let (first, second) = (a.scope(), b.scope())
    #expect(Set(first.names) == Set(second.names) && a.names.name == b.names.name)
    for name in first.names {
      let shape = try #require(first.shape(of: name))
      let (x, y) = (try first.rowParts(name, shape: shape), try second.rowParts(name, shape: shape))
      #expect(x.map { $0.tensor.floats() } == y.map { $0.tensor.floats() }, "\(name)")
    }
  }

  static let networks: [(String, NetworkKind)] = [
    ("transformer/one_valid_token_float16/weights.safetensors", .transformer),
    ("layouts/comfy/transformer.safetensors", .transformer),
    ("layouts/diffusers/transformer", .transformer), ("vae/two_layers/weights.safetensors", .autoencoder),
    ("llama/six_heads/weights.safetensors", .llama),
    ("layouts/llava", .llama), ("layouts/diffusers/text_encoder", .llama), ("clip/end_id/weights.safetensors", .clip),
    ("layouts/diffusers/text_encoder_2", .clip),
  ]

  @Test(arguments: networks, ["module.", "_orig_mod.", "module._orig_mod.", "_fsdp_wrapped_module.", "ema."])
  func `every network under the names of a wrapper is the same network`(
    _ source: (path: String, kind: NetworkKind), _ prefix: String
  ) throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let (original, wrapped) = try network(source.path, source.kind, { (prefix + $0, $1) })
    try expectEqual(original, wrapped)
    try build(wrapped)
  }

  @Test(arguments: networks)
  func `every network whose single blocks were wrapped is the same network`(
    _ source: (path: String, kind: NetworkKind)
  ) throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let (original, wrapped) = try network(
      source.path, source.kind,
      { name, tensor in
        // After each number, as when the members of a list were compiled.
        let parts: [Substring] = name.split(separator: ".").flatMap { part -> [Substring] in
          Int(part) == nil ? [part] : [part, "_orig_mod"]
        }
        return (parts.last == "_orig_mod" ? name : parts.joined(separator: "."), tensor)
      })
    try expectEqual(original, wrapped)
    try build(wrapped)
  }

  private static let numbers = Tensor([1, 0.5] as [Float], shape: [2])

  @Test(arguments: [
    (
      "llama/six_heads/weights.safetensors", NetworkKind.llama,
      ["model.layers.0.self_attn.rotary_emb.inv_freq", "model.rotary_emb.inv_freq"]
    ),
    (
      "llama/six_heads/weights.safetensors", .llama,
      ["model.layers.1.self_attn.rotary_emb.cos_cached", "model.layers.0.self_attn.masked_bias"]
    ),
    ("layouts/llava", .llama, ["language_model.model.layers.0.self_attn.rotary_emb.inv_freq"]),
    ("layouts/diffusers/text_encoder", .llama, ["layers.0.self_attn.rotary_emb.inv_freq", "rotary_emb.inv_freq"]),
    (
      "clip/end_id/weights.safetensors", .clip,
      ["text_model.embeddings.position_ids", "logit_scale", "text_projection.weight"]
    ),
    ("layouts/diffusers/text_encoder_2", .clip, ["embeddings.position_ids", "logit_scale"]),
  ])
  func `buffers that are computed anyway are left alone`(_ path: String, _ kind: NetworkKind, _ buffers: [String])
    throws
  {
    defer { try? FileManager.default.removeItem(at: folder) }
    let known = Set(try PublishedNetwork(path: Goldens.path(path), expecting: kind).checkpoint.tensors.map(\.name))
    let more = buffers.filter { !known.contains($0) }.map { (name: $0, tensor: Self.numbers) }
    try build(try network(path, kind, { ($0, $1) }, adding: more).changed)
  }

  @Test(arguments: [
    ("llama/six_heads/weights.safetensors", NetworkKind.llama, "model.layers.0.self_attn.rotary_emb.inv_freq2"),
    ("llama/six_heads/weights.safetensors", .llama, "model.layers.0.rotary_emb.inv_freq"),
    ("llama/six_heads/weights.safetensors", .llama, "model.layers.0.self_attn.q_proj.bias2"),
    ("clip/end_id/weights.safetensors", .clip, "text_model.position_ids"),
    ("vae/two_layers/weights.safetensors", .autoencoder, "decoder.inv_freq"),
    ("transformer/one_valid_token_float16/weights.safetensors", .transformer, "double_blocks.0.rotary_emb.inv_freq"),
  ])
  func `every other tensor stays an error`(_ path: String, _ kind: NetworkKind, _ name: String) throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let changed = try network(path, kind, { ($0, $1) }, adding: [(name, Self.numbers)]).changed
    let error = try #require(throws: CheckpointError.self) { try build(changed) }
    #expect("\(error)".contains(name))
  }

  @Test(arguments: [
    ("transformer/one_valid_token_float16/weights.safetensors", NetworkKind.transformer),
    ("vae/two_layers/weights.safetensors", .autoencoder),
  ])
  func `convolutions with joined axes are the same network`(_ path: String, _ kind: NetworkKind) throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    var count = 0
    let (original, folded) = try network(
      path, kind,
      { name, tensor in
        guard tensor.shape.rank == 5 else { return (name, tensor) }
        count += 1
        let dimensions = tensor.shape.dimensions
        return (name, tensor.reshaped(Shape([dimensions[0] * dimensions[1]] + dimensions[2...])))
      })
    #expect(count > 0)
    try expectEqual(original, folded)
    try build(folded)
    if kind == .transformer {
      #expect(try folded.transformerConfiguration() == original.transformerConfiguration())
    } else {
      #expect(try folded.autoencoderConfiguration() == original.autoencoderConfiguration())
    }
  }
}
