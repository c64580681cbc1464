public import Checkpoints
import Foundation
public import HunyuanVideo
import TensorCore

/// Writes a whole checkpoint, of whatever layout, in Tencent's arrangement: a folder that makes the same videos wherever the
/// format keeps the numbers.
///
/// The format is for the two large networks, the transformer and the language model; the autoencoder and CLIP keep their types.
public struct FolderConversion {
  /// A network and where it goes.
  private struct Part {
    let network: PublishedNetwork
    let conversion: CheckpointConversion
    /// In the new folder.
    let path: String
  }

  private let model: ModelFolder
  private let parts: [Part]

  /// - Parameter format: nil keeps the types that weights are stored in.
  /// - Throws: `CheckpointError` where a part cannot be read or holds another network.
  public init(_ model: ModelFolder, format: StorageFormat?) throws {
    self.model = model
    let networks: [(PublishedNetwork, StorageFormat?, String)] = [
      (try model.transformerNetwork(), format, "hunyuan-video-t2v-720p/transformers/mp_rank_00_model_states"),
      (try model.autoencoderNetwork(), nil, "hunyuan-video-t2v-720p/vae/pytorch_model"),
      (try PublishedNetwork(path: model.textEncoder, expecting: .llama), format, "text_encoder/model"),
      (try PublishedNetwork(path: model.textEncoder2, expecting: .clip), nil, "text_encoder_2/model"),
    ]
    parts = try networks.map { network, format, stem in
      let conversion = try CheckpointConversion(network, format: format)
      return Part(network: network, conversion: conversion, path: stem + conversion.suffix)
    }
  }

  /// What is where the folder is to be written; nil where it can be.
  public static func obstacle(at path: String) -> String? { PartialFolder.obstacle(at: path) }

  /// The size of all weights to be written, in bytes.
  public var byteCount: Int { parts.reduce(0) { $0 + $1.conversion.byteCount } }

  /// Writes all parts into a folder, which appears when it is whole.
  /// - Parameters:
  ///   - progress: Told after each parameter the network's name, and how many bytes of it are written, of how many.
  ///   - done: Told of each network how far its numbers were moved.
  /// - Throws: `CheckpointError` where a part cannot be read, does not fit the format, or the folder cannot be written.
  public func write(
    to folder: String, progress: (String, Int, Int) -> Void,
    done: (PublishedNetwork, [CheckpointConversion.Fidelity]) throws -> Void
  ) throws {
    let partial = try PartialFolder(path: folder)
    for part in parts {
      let file = "\(partial.temporaryPath)/\(part.path)"
      try FileSystem.makeFolder(FileSystem.folder(of: file))
      let fidelity = try part.conversion.write(to: file) {
        progress(part.network.names.network.rawValue, $0, $1)
      }
      try part.conversion.writeConfiguration(inFolder: FileSystem.folder(of: file))
      try done(part.network, fidelity)
    }
    for (source, name) in [(model.tokenizer, "text_encoder"), (model.tokenizer2, "text_encoder_2")] {
      for file in Self.tokenizerFiles where FileSystem.isFile("\(source)/\(file)") {
        try FileSystem.copyFile("\(source)/\(file)", to: "\(partial.temporaryPath)/\(name)/\(file)")
      }
    }
    try writeDescription(to: partial.temporaryPath + "/model.json")
    try partial.finish()
  }

  private static let tokenizerFiles = [
    "tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json",
  ]

  /// The name and the defaults of the checkpoint, where it has such; the paths in its description are not those of the result, and
  /// the scheduler's configuration is not in it.
  private func writeDescription(to path: String) throws {
    var kept: [String: Any] = [:]
    if let data = FileManager.default.contents(atPath: model.root + "/model.json"),
      let object = try JSONSerialization.jsonObject(with: data) as? [String: Any]
    {
      kept = object.filter { ["name", "defaults"].contains($0.key) }
    }
    if model.defaults.flowShiftSource != nil {
      var defaults = kept["defaults"] as? [String: Any] ?? [:]
      defaults["flow_shift"] = Double(model.defaults.flowShift)
      defaults["flow_reverse"] = model.defaults.flowReverse
      kept["defaults"] = defaults
    }
    if kept.isEmpty && !FileSystem.isFile(model.root + "/model.json") { return }
    let text = try JSONSerialization.data(
      withJSONObject: kept, options: [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes])
    try FileSystem.write([UInt8](text), to: path)
  }
}
