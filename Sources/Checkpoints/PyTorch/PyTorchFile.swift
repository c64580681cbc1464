import StrictJSON
import TensorCore

/// A PyTorch file (`torch.save`, the zip format of PyTorch 1.6 and later), mapped into memory. Tensors are views of the
/// file; what is deflated, or not dense, is copied when it is touched. The pickle inside is read by a machine that knows
/// tensors, ordered dictionaries and plain values alone, and passes over settings beside them: nothing is executed.
public struct PyTorchFile: CheckpointFile {
  public let path: String
  /// In the order of the dictionary.
  public let tensors: [CheckpointTensor]
  /// Empty: the format has none.
  public let metadata: [String: String] = [:]
  /// The size of the file in bytes.
  public let byteCount: Int
  /// The plain numbers that the dictionary holds beside tensors.
  let numbers: [String: Double]
  let opaqueEntries: [String: String]

  /// Wrappers in which weights are published, most wanted first.
  private static let wrappers = ["module", "ema", "state_dict"]
  private static let pickleLimit = 16 << 20

  /// Opens a file.
  /// - Parameter loadKey: The key under which the weights are; without one, `module`, `ema` or `state_dict` where the
  ///   file has one of these, else the file's own dictionary.
  /// - Throws: `CheckpointError` for archives and pickles that are broken, that would run something where they are loaded
  ///   with Python, or that hold no weights.
  public init(path: String, loadKey: String? = nil) throws(CheckpointError) {
    let file: MappedFile
    do { file = try MappedFile(path: path) } catch { throw CheckpointError(error) }
    let archive = try ZipArchive(file)
    let (root, pickle) = try PyTorchFile.pickle(archive)
    let bytes = try archive.contents(pickle, limit: PyTorchFile.pickleLimit)
    let parsed = bytes.withUnsafeBytes { buffer in
      Result { () throws(CheckpointError) in
        var machine = Unpickler(buffer, file: path, part: pickle.name.oneLine)
        return (value: try machine.run(), containers: machine.containers)
      }
    }
    let (value, containers) = try parsed.get()
    let weights = try PyTorchFile.weights(value, containers, loadKey: loadKey, file: path)

    var reader = PyTorchTensorReader(archive: archive, root: root)
    var numbers: [String: Double] = [:]
    var opaque: [(name: String, kind: String)] = []
    for (key, value) in weights {
      guard case .string(let name) = key else { continue }
      switch value {
      case .tensor(let tensor): try reader.add(name, tensor)
      case .integer(let number): numbers[name] = Double(number)
      case .float(let number): numbers[name] = number
      case .opaque(let kind): opaque.append((name, kind))
      default: continue
      }
    }
    if let first = opaque.first, reader.tensors.isEmpty, numbers.isEmpty {
      throw .opaqueWeight(file: path, key: first.name, kind: first.kind)
    }
    self.path = path
    byteCount = file.byteCount
    tensors = reader.tensors
    self.numbers = numbers
    opaqueEntries = Dictionary(opaque.map { ($0.name, $0.kind) }) { first, _ in first }
  }

  /// The one pickle of the archive, and the folder that everything is in.
  private static func pickle(_ archive: ZipArchive) throws(CheckpointError) -> (root: String, entry: ZipArchive.Entry) {
    func refuse(_ found: String, _ remedy: String) -> CheckpointError {
      .unsupportedFormat(file: archive.file.path, found: found, remedy: remedy)
    }
    let pickles = archive.entries.keys.filter { $0.hasSuffix("/data.pkl") || $0 == "data.pkl" }.sorted()
    guard pickles.count == 1, let entry = archive.entries[pickles[0]] else {
      throw refuse(
        "a zip archive with \(pickles.count) entries data.pkl", "unpack the archive and name the weights in it")
    }
    let root = String(entry.name.dropLast("data.pkl".count))
    if archive.entries[root + "constants.pkl"] != nil {
      throw refuse("a TorchScript program", "use a release of the weights alone")
    }
    if let order = archive.entries[root + "byteorder"] {
      let text = try archive.contents(order, limit: 64)
      guard text == Array("little".utf8) else {
        throw refuse("big-endian numbers", "save the weights on another machine")
      }
    }
    return (root, entry)
  }

  private typealias Pairs = [(key: PickleValue, value: PickleValue)]

  private static func weights(
    _ value: PickleValue, _ containers: PickleContainers, loadKey: String?, file: String
  ) throws(CheckpointError) -> Pairs {
    if case .opaque(let kind) = value {
      throw .unsupportedFormat(
        file: file, found: "a whole object of \(kind.oneLine)",
        remedy: "save its weights alone: torch.save(model.state_dict(), PATH)")
    }
    guard case .dictionary(let top) = value else {
      throw .malformed(file: file, place: "data.pkl", expected: "a dictionary of tensors", found: value.summary)
    }
    let pairs = containers.dictionaries[top]
    func dictionary(_ wanted: String) -> Pairs? {
      for (key, value) in pairs {
        if case .string(let name) = key, name == wanted, case .dictionary(let index) = value {
          return containers.dictionaries[index]
        }
      }
      return nil
    }
    let choices = pairs.compactMap { key, value -> String? in
      guard case .string(let name) = key, case .dictionary = value else { return nil }
      return name
    }
    if let loadKey {
      guard let weights = dictionary(loadKey) else {
        for case (.string(loadKey), .opaque(let kind)) in pairs {
          throw .opaqueWeight(file: file, key: loadKey, kind: kind)
        }
        throw .missingLoadKey(file: file, key: loadKey, found: Array(choices.prefix(10)))
      }
      return weights
    }
    for wrapper in wrappers {
      if let weights = dictionary(wrapper) { return weights }
    }
    func holdsTensors(_ pairs: Pairs) -> Bool {
      pairs.contains { if case .tensor = $0.value { true } else { false } }
    }
    if !holdsTensors(pairs) && !choices.isEmpty {
      // Beside the one dictionary of tensors are counters and settings.
      let holding = choices.compactMap { dictionary($0) }.filter(holdsTensors)
      if holding.count == 1 { return holding[0] }
      throw .missingLoadKey(file: file, key: wrappers.joined(separator: ", "), found: Array(choices.prefix(10)))
    }
    return pairs
  }
}

/// Turns a pickle's tensors into those of a checkpoint.
private struct PyTorchTensorReader {
  let archive: ZipArchive
  let root: String
  private(set) var tensors: [CheckpointTensor] = []
  private var names: Set<String> = []
  private var storages: [String: (storage: any Storage, byteOffset: Int, byteCount: Int)] = [:]

  init(archive: ZipArchive, root: String) {
    self.archive = archive
    self.root = root
  }

  mutating func add(_ name: String, _ tensor: PickleTensor) throws(CheckpointError) {
    func malformed(_ expected: String, _ found: String) -> CheckpointError {
      .malformed(file: archive.file.path, place: "tensor \(name.oneLine)", expected: expected, found: found)
    }
    guard names.insert(name).inserted else { throw malformed("it once", "it twice") }
    let key = tensor.storage.key
    if storages[key] == nil {
      // A look-up in the archive's directory: a key cannot lead anywhere else.
      guard let entry = archive.entries["\(root)data/\(key)"] else {
        throw malformed("an entry data/\(key.oneLine) with its elements", "none")
      }
      try archive.checkInflation(entry)
      let (storage, byteOffset) = archive.storage(entry)
      storages[key] = (storage, byteOffset, entry.byteCount)
    }
    guard let (storage, byteOffset, byteCount) = storages[key] else { return }
    let size = tensor.dtype.byteCount
    let needed = tensor.storage.count.multipliedReportingOverflow(by: tensor.storage.dtype?.byteCount ?? 1)
    guard !needed.overflow, needed.partialValue == byteCount else {
      throw malformed("\(tensor.storage.count) elements in data/\(key.oneLine)", "\(byteCount) bytes")
    }
    var strided: StridedBytes?
    if !isDense(tensor) {
      strided = StridedBytes(
        dimensions: tensor.shape.dimensions,
        // The distance along an axis of one element means nothing and could be any number.
        strides: zip(tensor.shape.dimensions, tensor.strides).map { $0 == 1 ? 0 : $1 * size }, itemByteCount: size)
    }
    tensors.append(
      CheckpointTensor(
        name: name, dtype: tensor.dtype, shape: tensor.shape, file: archive.file.path, storage: storage,
        byteOffset: tensor.shape.count == 0 ? 0 : byteOffset + tensor.offset * size, strided: strided))
  }

  private func isDense(_ tensor: PickleTensor) -> Bool {
    if tensor.shape.count == 0 { return true }
    return zip(zip(tensor.shape.dimensions, tensor.strides), tensor.shape.rowMajorStrides).allSatisfy {
      $0.0 == 1 || $0.1 == $1
    }
  }
}
