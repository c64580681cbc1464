import ArgumentParser
import Checkpoints
import Foundation
import Generation
import HunyuanVideo
import TensorCore

struct InspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect", abstract: "Shows what a checkpoint folder or file holds, without loading it.",
    discussion: "Example: hyvideo inspect Models/demo")

  @Argument(help: ArgumentHelp("A checkpoint folder, a network's folder or a weight file.", valueName: "path"))
  var path: String
  @Flag(help: "List every tensor.") var tensors = false
  @Flag(help: "Print a JSON array, one object per network.") var json = false

  func run() throws {
    let parts = try RefusedBeforeWork.checking { try Self.parts(of: path) }
    if json {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
      encoder.keyEncodingStrategy = .convertToSnakeCase
      try Console.result(
        String(decoding: try encoder.encode(parts.map { CheckpointSummary($0, listsTensors: tensors) }), as: UTF8.self))
      return
    }
    for part in parts {
      let summary = CheckpointSummary(part, listsTensors: tensors)
      try Console.result("\(summary.part): \(summary.architecture)")
      try Console.result("  \(summary.path)")
      let types = summary.tensorsByType.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }
      try Console.result(
        "  \(summary.tensorCount) tensors (\(types.joined(separator: ", "))), "
          + "\(summary.elementCount) elements, \(Self.size(summary.byteCount))")
      for line in part.configuration { try Console.result("  \(line)") }
      if let tokenizer = summary.tokenizer { try Console.result("  tokenizer: \(tokenizer)") }
      for tensor in summary.tensors ?? [] {
        try Console.result("    \(tensor.name): \(tensor.dtype)\(Shape(tensor.shape))")
      }
    }
  }

  /// One network of a checkpoint.
  struct Part {
    let name: String
    let checkpoint: Checkpoint
    let architecture: String
    let configuration: [String]
    let tokenizer: String?
  }

  /// The networks at a path: all of a checkpoint folder, or the one that a folder or file holds.
  private static func parts(of path: String) throws -> [Part] {
    let manager = FileManager.default
    let isModel = ["model.json", "text_encoder", "hunyuan-video-t2v-720p"].contains {
      manager.fileExists(atPath: "\(path)/\($0)")
    }
    guard isModel else { return [try part("weights", path)] }
    let model = try ModelFolder(path)
    return [
      try part("transformer", model.transformer), try part("vae", model.autoencoder),
      try part("text_encoder", model.textEncoder), try part("text_encoder_2", model.textEncoder2),
    ]
  }

  private static func part(_ name: String, _ path: String) throws -> Part {
    let checkpoint = try Checkpoint(path: path)
    let (architecture, configuration) = try describe(checkpoint, path: path)
    let tokenizers = ["tokenizer.json", "vocab.json", "merges.txt"].filter {
      FileManager.default.fileExists(atPath: "\(path)/\($0)")
    }
    return Part(
      name: name, checkpoint: checkpoint, architecture: architecture, configuration: configuration,
      tokenizer: tokenizers.isEmpty ? nil : tokenizers.joined(separator: ", "))
  }

  /// Recognizes a network by tensors that no other has, and reads its sizes where they are written beside it.
  private static func describe(_ checkpoint: Checkpoint, path: String) throws -> (String, [String]) {
    func sizes(_ lines: (ConfigurationReader) throws -> [String]) throws -> [String] {
      do { return try lines(ModelFolder.configuration(beside: path)) } catch is RequestError {
        return ["sizes: no config.json beside the weights"]
      }
    }
    if checkpoint["txt_in.individual_token_refiner.blocks.0.adaLN_modulation.1.bias"] != nil {
      let distilled = checkpoint["guidance_in.mlp.0.weight"] != nil
      return (
        "HunyuanVideo transformer, \(distilled ? "HYVideo-T/2-cfgdistill (embedded guidance)" : "HYVideo-T/2")",
        try sizes { reader in
          let c = try TransformerConfiguration(reader)
          return [
            "\(c.doubleBlockCount) double and \(c.singleBlockCount) single blocks, width \(c.hiddenSize), "
              + "\(c.headCount) heads of \(c.headDimension)",
            "text \(c.textChannels) and \(c.pooledTextChannels) channels",
          ]
        }
      )
    }
    if checkpoint["decoder.conv_in.conv.weight"] != nil {
      return (
        "HunyuanVideo causal 3-D autoencoder",
        try sizes { reader in
          let c = try AutoencoderConfiguration(reader)
          return ["channels \(c.blockChannels), \(c.latentChannels) latent, scaling factor \(c.scalingFactor)"]
        }
      )
    }
    if checkpoint.tensors.contains(where: { $0.name.hasSuffix("layers.0.mlp.gate_proj.weight") }) {
      return (
        "LLaMA language model",
        try sizes { reader in
          let c = try LlamaConfiguration(reader)
          return [
            "\(c.layerCount) layers, width \(c.hiddenSize), \(c.headCount) heads over \(c.keyValueHeadCount) key heads, "
              + "vocabulary \(c.vocabularySize)"
          ]
        }
      )
    }
    if checkpoint["text_model.final_layer_norm.weight"] != nil {
      return (
        "CLIP text model",
        try sizes { reader in
          let c = try CLIPTextConfiguration(reader)
          return ["\(c.layerCount) layers, width \(c.hiddenSize), \(c.headCount) heads, vocabulary \(c.vocabularySize)"]
        }
      )
    }
    return ("unknown network", [])
  }

  private static func size(_ bytes: Int) -> String {
    bytes >= 1_000_000_000
      ? String(format: "%.2f GB", Double(bytes) / 1e9) : String(format: "%.2f MB", Double(bytes) / 1e6)
  }
}

/// A network as `--json` prints it.
private struct CheckpointSummary: Encodable {
  struct TensorSummary: Encodable {
    let name: String
    let dtype: String
    let shape: [Int]
  }

  let part: String
  let path: String
  let architecture: String
  let tensorCount: Int
  let elementCount: Int
  let byteCount: Int
  let tensorsByType: [String: Int]
  let tokenizer: String?
  let tensors: [TensorSummary]?

  init(_ part: InspectCommand.Part, listsTensors: Bool) {
    let checkpoint = part.checkpoint
    self.part = part.name
    path = checkpoint.path
    architecture = part.architecture
    tensorCount = checkpoint.tensors.count
    elementCount = checkpoint.elementCount
    byteCount = checkpoint.byteCount
    tensorsByType = checkpoint.typeCounts
    tokenizer = part.tokenizer
    tensors =
      listsTensors
      ? checkpoint.tensors.map {
        TensorSummary(name: $0.name, dtype: $0.typeName, shape: $0.shape.dimensions)
      } : nil
  }
}
