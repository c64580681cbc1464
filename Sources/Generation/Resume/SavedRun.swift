public import Checkpoints
import Foundation
import HunyuanVideo
import TensorCore

/// A run on disk: a safetensors file with the key `latents` and, where a step cache is in use, its tensors; everything else
/// is in the file's metadata. After the last step it is what a decoder needs.
public struct SavedRun: Sendable {
  public let identity: RunIdentity
  /// What the program needs to go on but what does not decide the latents: paths, frame rate.
  public let details: [String: String]
  public let state: SamplerState

  public init(identity: RunIdentity, details: [String: String], state: SamplerState) {
    (self.identity, self.details, self.state) = (identity, details, state)
  }

  private static let version = "1"
  private static let versionKey = "hyvideo_run"

  /// Whether a file's metadata is a saved run's.
  public static func isSavedRun(_ checkpoint: Checkpoint) -> Bool { checkpoint.metadata[versionKey] != nil }

  /// Writes the file under another name and renames it, so that a file of that name is always whole.
  public func write(to path: String) throws {
    var tensors: [(name: String, tensor: Tensor)] = [("latents", state.latents)]
    for (index, cache) in state.caches.enumerated() {
      tensors += cache.tensors.sorted { $0.key < $1.key }.map { ("cache.\(index).\($0.key)", $0.value) }
    }
    let contents = try Contents(
      identity: identity.values, details: details, step: state.step, caches: state.caches.map(\.values),
      tensorsSHA256: Self.digest(tensors)
    ).text()
    try SafetensorsWriter.write(
      tensors,
      metadata: [
        Self.versionKey: Self.version, "run": contents,
        "run_sha256": CheckpointDigest.sha256(of: contents),
      ], to: path)
  }

  /// Reads a file back.
  /// - Throws: `CheckpointError` for a file that is damaged or of another kind.
  public init(contentsOf path: String) throws {
    let checkpoint = try Checkpoint(path: path)
    func damaged(_ place: String, _ expected: String, _ found: String) -> CheckpointError {
      .malformed(file: path, place: place, expected: expected, found: found)
    }
    let found = checkpoint.metadata[Self.versionKey]
    guard found == Self.version, let text = checkpoint.metadata["run"] else {
      throw damaged("metadata", "a run saved by hyvideo (\(Self.versionKey) \(Self.version))", found ?? "none")
    }
    let digest = CheckpointDigest.sha256(of: text)
    guard checkpoint.metadata["run_sha256"] == digest else {
      throw damaged("run_sha256", digest, checkpoint.metadata["run_sha256"] ?? "none")
    }
    let contents: Contents
    do { contents = try JSONDecoder().decode(Contents.self, from: Data(text.utf8)) } catch {
      throw damaged("run", "the fields of a run", "others")
    }
    let steps = contents.identity["steps"].flatMap { Int($0) } ?? 0
    guard (0...max(steps, 0)).contains(contents.step) else {
      throw damaged("run: step", "0 to \(steps), as many as the run has", "\(contents.step)")
    }
    guard let latents = checkpoint["latents"]?.tensor else { throw damaged("tensors", "latents", "none") }
    var caches = contents.caches.map { StepCacheState(values: $0) }
    for tensor in checkpoint.tensors where tensor.name != "latents" {
      let parts = tensor.name.split(separator: ".", maxSplits: 2)
      guard parts.count == 3, parts[0] == "cache", let index = Int(parts[1]), caches.indices.contains(index) else {
        throw damaged(tensor.name, "a tensor of the run", "another")
      }
      caches[index].tensors[String(parts[2])] = tensor.tensor
    }
    let tensors = checkpoint.tensors.map { (name: $0.name, tensor: $0.tensor) }.sorted { $0.name < $1.name }
    let sum = Self.digest(tensors)
    guard sum == contents.tensorsSHA256 else { throw damaged("tensors", "the SHA-256 \(contents.tensorsSHA256)", sum) }
    identity = RunIdentity(values: contents.identity)
    details = contents.details
    state = SamplerState(latents: latents, step: contents.step, caches: caches)
  }

  private static func digest(_ tensors: [(name: String, tensor: Tensor)]) -> String {
    CheckpointDigest.sha256(
      of: tensors.sorted { $0.name < $1.name }.map { name, tensor in
        let bytes = UnsafeRawBufferPointer(start: tensor.hostPointer, count: tensor.byteCount)
        return "\(name) \(tensor) \(CheckpointDigest.sha256(of: bytes))"
      }.joined(separator: "\n"))
  }

  private struct Contents: Codable {
    let identity: [String: String]
    let details: [String: String]
    let step: Int
    let caches: [[String: String]]
    let tensorsSHA256: String

    func text() throws -> String {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
      return String(decoding: try encoder.encode(self), as: UTF8.self)
    }
  }
}

extension CheckpointDigest {
  fileprivate static func sha256(of text: String) -> String { Array(text.utf8).withUnsafeBytes { sha256(of: $0) } }
}
