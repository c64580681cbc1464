public import Checkpoints
public import HunyuanVideo

/// Where the parts of a checkpoint are.
///
/// A folder has the layout of one of the releases (`ModelLayout`), recognized by the transformer's folder, or a
/// `model.json` that names the parts and the defaults.
public struct ModelFolder: Sendable {
  public let root: String
  /// How the folder is arranged; nil where only flags and `model.json` say where parts are.
  public let layout: ModelLayout?
  /// Files, or folders holding the shards of one network.
  public let transformer: String
  public let autoencoder: String
  public let textEncoder: String
  public let textEncoder2: String
  /// Folders with tokenizer files.
  public let tokenizer: String
  public let tokenizer2: String
  public let defaults: ModelDefaults
  /// The key of the transformer's weights in a PyTorch file that has several (`module`, `ema`); nil for the usual ones.
  public let loadKey: String?

  /// - Parameter parts: files to use instead of the folder's (`--dit-weight` and others).
  /// - Throws: `RequestError` naming the first part that is missing or has several candidates; `CheckpointError` for a
  ///   malformed `model.json`.
  public init(_ root: String, parts: ModelParts = ModelParts()) throws {
    let locator = try ModelLocator(root, parts: parts)
    (self.root, loadKey, defaults, layout) = (locator.root, parts.loadKey, locator.defaults, locator.layout)
    transformer = try locator.weights(.transformer)
    autoencoder = try locator.weights(.autoencoder)
    textEncoder = try locator.weights(.textEncoder)
    textEncoder2 = try locator.weights(.textEncoder2)
    tokenizer = try locator.tokenizer(besideEncoder: textEncoder)
    tokenizer2 = try locator.tokenizer2(besideEncoder: textEncoder2)
  }

  /// Whether a folder looks like a checkpoint of several networks, or like one in the Hugging Face cache.
  public static func isModel(_ path: String) -> Bool {
    ModelRoot.isModel(path) || FileSystem.isFolder(path + "/snapshots")
  }
}

// MARK: Networks

extension ModelFolder {
  /// - Throws: `CheckpointError` where the file cannot be read or holds another network.
  public func transformerNetwork() throws(CheckpointError) -> PublishedNetwork {
    try PublishedNetwork(transformerCheckpoint(), at: transformer, expecting: .transformer)
  }

  /// The transformer's tensors, whatever they are.
  /// - Throws: `CheckpointError` where the file cannot be read.
  public func transformerCheckpoint() throws(CheckpointError) -> Checkpoint {
    try Checkpoint(path: transformer, loadKey: loadKey)
  }

  /// - Throws: `CheckpointError` where the file cannot be read or holds another network.
  public func autoencoderNetwork() throws(CheckpointError) -> PublishedNetwork {
    try PublishedNetwork(path: autoencoder, expecting: .autoencoder)
  }

  /// A network by its name in errors; nil where it cannot be read.
  func network(named name: String) -> PublishedNetwork? {
    switch name {
    case "transformer": try? transformerNetwork()
    case "vae": try? autoencoderNetwork()
    case "text encoder": try? PublishedNetwork(path: textEncoder, expecting: .llama)
    case "text encoder 2": try? PublishedNetwork(path: textEncoder2, expecting: .clip)
    default: nil
    }
  }
}
