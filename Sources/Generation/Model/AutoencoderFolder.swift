public import Checkpoints
public import HunyuanVideo

/// The autoencoder of a checkpoint, whatever else its folder holds: saved latents need no other part to become a video.
public struct AutoencoderFolder: Sendable {
  /// Its file, or the folder of its shards.
  public let path: String
  public let defaults: ModelDefaults

  /// - Parameter parts: files to use instead of the folder's (`--vae-path`).
  /// - Throws: `RequestError` where there is none or several candidates; `CheckpointError` for a malformed `model.json`.
  public init(_ root: String, parts: ModelParts = ModelParts()) throws {
    let locator = try ModelLocator(root, parts: parts)
    defaults = locator.defaults
    path = try locator.weights(.autoencoder)
  }

  /// - Throws: `CheckpointError` where the file cannot be read or holds another network.
  public func network() throws(CheckpointError) -> PublishedNetwork {
    try PublishedNetwork(path: path, expecting: .autoencoder)
  }
}
