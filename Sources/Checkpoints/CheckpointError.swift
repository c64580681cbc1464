import StrictJSON
public import TensorCore

/// Why a checkpoint, or a file that goes with one, cannot be used. Each message is one line:
/// `WHAT: WHERE: EXPECTED, FOUND; REMEDY`.
public enum CheckpointError: Error, Sendable, Equatable {
  /// The system refuses to open, map or read a file.
  case unreadable(file: String, reason: String)
  /// The contents break the rules of the format at `place`.
  case malformed(file: String, place: String, expected: String, found: String)
  /// The file is of a kind that is not read.
  case unsupportedFormat(file: String, found: String, remedy: String)
  /// A tensor has an element type that is not read; `remedy` says what to take instead.
  case unsupportedType(file: String, key: String, expected: String, found: String, remedy: String)
  /// A pickle asks for something that is no part of weights. Nothing of it was executed.
  case refused(file: String, place: String, found: String)
  /// A pickle names something that would run where the file is loaded with Python. Nothing of it was executed.
  case wouldRun(file: String, place: String, name: String)
  /// A weight is needed where the file has the value of something that is not read.
  case opaqueWeight(file: String, key: String, kind: String)
  /// The file is whole, and its weights are quantized in a format that is not read.
  case unsupportedQuantization(file: String, key: String, expected: String, found: String)
  /// A file holds one parameter under two names.
  case sameParameter(file: String, key: String, stored: [String])
  /// A text is not in the encoding that its format has.
  case wrongEncoding(file: String, expected: String, found: String)
  /// A PyTorch file has no weights under a key, or under those that are tried; `found` are keys of dictionaries in it.
  case missingLoadKey(file: String, key: String, found: [String])
  /// 8-bit weights come without the factors that the file says they have.
  case missingScale(file: String, key: String, reason: String)
  /// A folder holds no weights, or a file that another one names does not exist.
  case missingFile(path: String, reason: String)
  /// Several files claim to be the one that is wanted.
  case ambiguous(folder: String, candidates: [String])
  /// Two files of a checkpoint hold a tensor of the same name.
  case duplicateKey(key: String, files: [String])
  /// An index and a shard disagree about who holds a tensor.
  case indexMismatch(index: String, key: String, expected: String, found: String)
  /// A parameter that the network needs is not there; `similar` are names that are.
  case missingKey(file: String, key: String, shape: Shape, similar: [String])
  /// A parameter has another shape than the network's.
  case wrongShape(file: String, key: String, expected: Shape, found: Shape)
  /// A parameter has a type that is no weight's.
  case wrongType(file: String, key: String, expected: String, found: DType)
  /// Tensors that no part of the network asked for: the first of them, and how many there are.
  case unusedKeys(file: String, first: [String], count: Int)
  /// The device did not take a parameter.
  case notAdopted(file: String, key: String, reason: String)
  /// A field of a configuration is absent, of the wrong type or out of range.
  case invalidConfiguration(file: String, key: String, expected: String, found: String)
  /// A field of a configuration asks for something that is not computed.
  case unsupportedSetting(file: String, key: String, effect: String, expected: String, found: String)
  /// Nobody knows what a field of a configuration means; `others` are more such.
  case unknownSettings(file: String, key: String, found: String, others: [String])
  /// A file holds a network that is known, and another than the one that is wanted.
  case otherNetwork(file: String, expected: String, found: String, remedy: String)
  /// A file holds another network than the one that is wanted, or none that is known.
  case unrecognized(file: String, expected: String, found: String)
  /// The system refuses to create or write a file.
  case unwritable(file: String, reason: String)

  init(_ error: FileError) {
    self = .unreadable(file: error.path, reason: FileError.reason(error.code))
  }
}

extension CheckpointError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .unreadable(let file, let reason):
      "cannot read file: \(file.oneLine): expected a readable file, found: \(reason); check the path and its permissions"
    case .malformed(let file, let place, let expected, let found):
      "malformed file: \(file.oneLine): \(place): expected \(expected), found \(found); download or export the file again"
    case .unsupportedFormat(let file, let found, let remedy):
      "unsupported file: \(file.oneLine): expected safetensors, PyTorch or GGUF weights, found \(found); \(remedy)"
    case .refused(let file, let place, let found):
      "refused file: \(file.oneLine): \(place.oneLine): expected tensors, ordered dictionaries and plain values, "
        + "found \(found); nothing was executed: save the weights alone (torch.save(model.state_dict(), PATH)), or get "
        + "them from their publisher"
    case .wouldRun(let file, let place, let name):
      "refused file: \(file.oneLine): \(place.oneLine): expected tensors and plain values, found \(name.oneLine), which "
        + "Python would run when it loads this file; nothing was executed: save the weights alone "
        + "(torch.save(model.state_dict(), PATH)), or get them from their publisher"
    case .opaqueWeight(let file, let key, let kind):
      "unreadable weight: \(file.oneLine): \(key.oneLine): expected a dense tensor, found a value of \(kind.oneLine); "
        + "save plain tensors (value.dense().dequantize()) under this name"
    case .unsupportedQuantization(let file, let key, let expected, let found):
      "unsupported quantization: \(file.oneLine): \(key.oneLine): expected \(expected), found \(found); the file may be "
        + "whole, but this format is not read: use bf16, 8 bits with a factor for each matrix or row, or GGUF "
        + "(docs/checkpoints.md)"
    case .sameParameter(let file, let key, let stored):
      "duplicate tensor: \(file.oneLine): \(key.oneLine): expected it once, found it as \(stored.summary); "
        + "save one of them alone"
    case .wrongEncoding(let file, let expected, let found):
      "wrong encoding: \(file.oneLine): expected \(expected), found \(found); save the file again as UTF-8"
    case .missingLoadKey(let file, let key, let found):
      "missing key: \(file.oneLine): expected weights under \(key.oneLine), found "
        + (found.isEmpty ? "no dictionary" : found.summary)
        + (found.contains { $0.contains("optimizer") }
          ? "; this is the state of an optimizer: name the file with the model's weights"
          : "; name the key of the weights with --load-key")
    case .missingScale(let file, let key, let reason):
      "missing scale: \(file.oneLine): \(key.oneLine): expected a factor because of \(reason), found none; "
        + "put the release's map of factors beside the file, or download the file again"
    case .unsupportedType(let file, let key, let expected, let found, let remedy):
      "unsupported type: \(file.oneLine): \(key.oneLine): expected \(expected), found \(found.oneLine); \(remedy)"
    case .missingFile(let path, let reason):
      "missing file: \(path.oneLine): expected \(reason), found none; complete the download or correct the path"
    case .ambiguous(let folder, let candidates):
      "ambiguous folder: \(folder.oneLine): expected one candidate, found \(candidates.summary); name one file "
        + "(--dit-weight, --vae-path, --text-encoder-path, --text-encoder-2-path)"
    case .duplicateKey(let key, let files):
      "duplicate tensor: \(files.summary): \(key.oneLine): expected it once, found \(files.count); name one file"
    case .indexMismatch(let index, let key, let expected, let found):
      "index does not match: \(index.oneLine): \(key.oneLine): expected \(expected.oneLine), found \(found.oneLine); "
        + "download index and shards from one release"
    case .missingKey(let file, let key, let shape, let similar):
      "missing weight: \(file.oneLine): \(key.oneLine): expected shape \(shape), found no such key"
        + (similar.isEmpty ? "" : " (similar: \(similar.summary))")
        + "; check that the file holds this network and config.json belongs to it"
    case .wrongShape(let file, let key, let expected, let found):
      "wrong shape: \(file.oneLine): \(key.oneLine): expected \(expected), found \(found); "
        + "check that config.json belongs to these weights"
    case .wrongType(let file, let key, let expected, let found):
      "wrong type: \(file.oneLine): \(key.oneLine): expected \(expected), found \(found); convert the checkpoint"
    case .unusedKeys(let file, let first, let count):
      "unused weights: \(file.oneLine): expected only this network's keys, found \(count) more: \(first.summary)"
        + (count > first.count ? ", …" : "") + "; check that config.json describes these weights"
    case .notAdopted(let file, let key, let reason):
      "cannot load weight: \(file.oneLine): \(key.oneLine): \(reason.oneLine)"
    case .invalidConfiguration(let file, let key, let expected, let found):
      "invalid configuration: \(file.oneLine): \(key.oneLine): expected \(expected), found \(found); correct the file"
    case .unsupportedSetting(let file, let key, let effect, let expected, let found):
      "unsupported setting: \(file.oneLine): \(key.oneLine): expected \(expected), found \(found.oneLine); "
        + "\(effect), which is not computed here: use a checkpoint without it"
    case .unknownSettings(let file, let key, let found, let others):
      "unknown setting: \(file.oneLine): \(key.oneLine): expected settings whose meaning is known, found "
        + "\(found.oneLine)" + (others.isEmpty ? "" : " (and \(others.prefix(4).map(\.self).summary))")
        + "; it may change the video: if it does not, remove it from the file"
    case .otherNetwork(let file, let expected, let found, let remedy):
      "wrong network: \(file.oneLine): expected a \(expected), found \(found.oneLine); \(remedy)"
    case .unrecognized(let file, let expected, let found):
      "wrong network: \(file.oneLine): expected a \(expected), found \(found.oneLine); "
        + "name another file (docs/checkpoints.md lists those that are read)"
    case .unwritable(let file, let reason):
      "cannot write file: \(file.oneLine): expected a writable place, found: \(reason); check folder and free space"
    }
  }
}

extension [String] {
  /// Names separated by commas, each fit for a message.
  fileprivate var summary: String { map(\.oneLine).joined(separator: ", ") }
}
