import Checkpoints
import Foundation
import TensorCore
import TensorTesting
import Testing

/// A folder of links to the demo checkpoint's files, of which single ones can be replaced; gone with its value.
final class CheckpointCopy {
  static let transformer = "hunyuan-video-t2v-720p/transformers/mp_rank_00_model_states.safetensors"
  static let autoencoder = "hunyuan-video-t2v-720p/vae/pytorch_model.safetensors"

  let base = NSTemporaryDirectory() + "hyvideo-checkpoint-\(UUID().uuidString)"
  /// The checkpoint.
  let root: String

  /// - Parameters:
  ///   - place: where the checkpoint is under a folder of its own.
  ///   - described: whether it has its `model.json`.
  init(at place: String = "model", described: Bool = true) throws {
    root = base + "/" + place
    let demo = Goldens.repositoryPath("Models/demo")
    try FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: true)
    for case let name as String in try #require(FileManager.default.enumerator(atPath: demo)) {
      if name == "model.json" && !described { continue }
      try link(name, to: demo + "/" + name)
    }
  }

  /// A folder without anything.
  init(empty place: String) throws {
    root = base + "/" + place
    try FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: base) }

  private func link(_ name: String, to target: String) throws {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: target, isDirectory: &isFolder), !isFolder.boolValue else { return }
    try place(name) { try FileManager.default.createSymbolicLink(atPath: $0, withDestinationPath: target) }
  }

  private func place(_ name: String, _ make: (String) throws -> Void) throws {
    let path = root + "/" + name
    try FileManager.default.createDirectory(
      atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
    try? FileManager.default.removeItem(atPath: path)
    try make(path)
  }

  /// A link to a file or folder of the package.
  func link(_ name: String, toPackage target: String) throws {
    try place(name) {
      try FileManager.default.createSymbolicLink(
        atPath: $0, withDestinationPath: Goldens.repositoryPath(target))
    }
  }

  func write(_ text: String, to name: String) throws {
    try place(name) { try Data(text.utf8).write(to: URL(fileURLWithPath: $0)) }
  }

  /// Changes fields of a configuration; nil takes one out.
  func change(_ name: String, _ fields: [String: Any?]) throws {
    let data = try Data(contentsOf: URL(fileURLWithPath: root + "/" + name))
    var object = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    for (key, value) in fields { object[key] = value ?? nil }
    let changed = try JSONSerialization.data(withJSONObject: object)
    try place(name) { try changed.write(to: URL(fileURLWithPath: $0)) }
  }

  /// Writes a file of weights again with other shapes, all zero, for some of its tensors.
  func reshape(_ name: String, _ shapes: [String: Shape]) throws {
    let tensors = try Checkpoint(path: root + "/" + name).tensors.map { stored in
      (name: stored.name, tensor: shapes[stored.name].map { Tensor(repeating: 0, shape: $0) } ?? stored.tensor)
    }
    try place(name) { try SafetensorsWriter.write(tensors, to: $0) }
  }

  /// The demo's transformer with other channels and tokens.
  func reshapeTransformer(inputs: Int, outputs: Int, patch: [Int] = [1, 2, 2]) throws {
    let volume = patch.reduce(1, *)
    try reshape(
      Self.transformer,
      [
        "img_in.proj.weight": Shape([128, inputs] + patch), "final_layer.linear.weight": [volume * outputs, 128],
        "final_layer.linear.bias": [volume * outputs],
      ])
    try change(
      "hunyuan-video-t2v-720p/transformers/config.json",
      ["in_channels": inputs, "out_channels": outputs, "patch_size": patch])
  }

  /// The demo's decoder for latents of other channels.
  func reshapeDecoder(latents: Int) throws {
    let kernel = try Checkpoint(path: root + "/" + Self.autoencoder).tensors.reduce(into: [String: Shape]()) {
      $0[$1.name] = $1.shape
    }
    let top = try #require(kernel["decoder.conv_in.conv.weight"]).dimensions
    var shapes: [String: Shape] = [
      "post_quant_conv.weight": [latents, latents, 1, 1, 1], "post_quant_conv.bias": [latents],
      "decoder.conv_in.conv.weight": Shape([top[0], latents] + top[2...]),
    ]
    if kernel["post_quant_conv.weight"] == nil { shapes = shapes.filter { !$0.key.hasPrefix("post") } }
    try reshape(Self.autoencoder, shapes)
    try change("hunyuan-video-t2v-720p/vae/config.json", ["latent_channels": latents])
  }
}
