public import TensorCore

/// A place in a checkpoint, from which a layer takes its parameters: constructing a network from scopes is its key map
/// and its shape check.
///
/// ```swift
/// let scope = WeightScope(checkpoint) { try backend.adopt($0) }
/// let fc1 = try scope["double_blocks"][3]["img_mlp"].weight("fc1.weight", shape: [12288, 3072])
/// …
/// try scope.finish()  // every key was used or ignored
/// ```
///
/// All scopes made from one share one account of what was taken; it is safe to use them from several tasks.
public struct WeightScope: Sendable {
  /// The canonical path from the root: `double_blocks.3.img_mlp`, empty at the root.
  public let path: String
  private let checkpoint: Checkpoint
  private let keys: any KeyTable
  private let adopt: @Sendable (Weight) throws -> Weight
  private let account: WeightAccount

  /// The root of a checkpoint.
  /// - Parameters:
  ///   - keys: The release's naming scheme.
  ///   - adopt: What is done with each parameter before a layer gets it: the backend's adoption.
  public init(
    _ checkpoint: Checkpoint, keys: any KeyTable = CanonicalKeys(),
    adopt: @escaping @Sendable (Weight) throws -> Weight = { $0 }
  ) {
    self.init(path: "", checkpoint: checkpoint, keys: keys, adopt: adopt, account: WeightAccount())
  }

  private init(
    path: String, checkpoint: Checkpoint, keys: any KeyTable, adopt: @escaping @Sendable (Weight) throws -> Weight,
    account: WeightAccount
  ) {
    self.path = path
    self.checkpoint = checkpoint
    self.keys = keys
    self.adopt = adopt
    self.account = account
  }

  /// The place `name` below this one; `name` may be a path itself.
  public subscript(name: String) -> WeightScope {
    WeightScope(path: canonical(name), checkpoint: checkpoint, keys: keys, adopt: adopt, account: account)
  }

  /// The place of a numbered member.
  public subscript(index: Int) -> WeightScope { self[String(index)] }

  private func canonical(_ name: String) -> String { path.isEmpty ? name : "\(path).\(name)" }

  /// Where a parameter is stored, and the tensors there; nil where one of them is absent.
  private func stored(_ name: String) -> (parameter: StoredParameter, tensors: [CheckpointTensor])? {
    let parameter = keys.stored(canonical(name))
    let tensors = parameter.keys.compactMap { checkpoint[$0] }
    return tensors.count == parameter.keys.count ? (parameter, tensors) : nil
  }
}

// MARK: Taking parameters

extension WeightScope {
  /// Whether the checkpoint has a tensor at `name`.
  public func has(_ name: String) -> Bool { stored(name) != nil }

  /// The shape of the parameter at `name`, for sizes that are not written down.
  public func shape(of name: String) -> Shape? { stored(name).flatMap { Shape(joiningRows: $0.tensors.map(\.shape)) } }

  /// The canonical names of all parameters below this scope that a network may ask for, each once, in the order of the
  /// files.
  public var names: [String] {
    var seen: Set<String> = []
    return checkpoint.tensors.compactMap { tensor in
      if keys.isForeign(tensor.name) { return nil }
      let name = keys.name(forStoredKey: tensor.name)
      let prefix = path.isEmpty ? "" : path + "."
      return name.hasPrefix(prefix) && seen.insert(name).inserted ? String(name.dropFirst(prefix.count)) : nil
    }
  }

  /// Takes a parameter.
  /// - Precondition: every release has it in one tensor; see `rowParts`.
  /// - Throws: `CheckpointError` where the key is absent, has another shape or does not hold floating-point numbers, or
  ///   where the device refuses it.
  public func weight(_ name: String, shape: Shape) throws(CheckpointError) -> Weight {
    if let weight = try optionalWeight(name, shape: shape) { return weight }
    throw missing(name, shape: shape)
  }

  /// Takes a parameter where the checkpoint has it; nil where it does not.
  /// - Throws: as `weight(_:shape:)`, but not for an absent key.
  public func optionalWeight(_ name: String, shape: Shape) throws(CheckpointError) -> Weight? {
    guard let (parameter, tensors) = stored(name) else { return nil }
    precondition(
      tensors.count == 1 && parameter.rows == .inOrder, "weight scope: \(canonical(name)) is stored in parts")
    return try take(tensors[0], shape: shape)
  }

  /// Takes a parameter as the parts of its rows, in order, as the release stores them: nothing is copied to join what it
  /// keeps apart.
  /// - Throws: as `weight(_:shape:)`.
  public func rowParts(_ name: String, shape: Shape) throws(CheckpointError) -> [Weight] {
    guard let (parameter, stored) = stored(name) else { throw missing(name, shape: shape) }
    let tensors = stored.count == 1 ? [stored[0].unfolded(to: shape) ?? stored[0]] : stored
    let joined = Shape(joiningRows: tensors.map(\.shape))
    guard joined == shape else {
      let key = parameter.keys.joined(separator: " + ")
      throw .wrongShape(file: tensors[0].file, key: key, expected: shape, found: joined ?? tensors[0].shape)
    }
    var parts: [Weight] = []
    for tensor in tensors {
      let weight = try take(tensor, shape: tensor.shape)
      switch parameter.rows {
      case .inOrder: parts.append(weight)
      case .halvesSwapped:
        let (rows, half) = (tensor.shape[0], tensor.shape[0] / 2)
        parts += [weight.rows(half..<rows), weight.rows(0..<half)]
      }
    }
    return parts
  }

  private func take(_ stored: CheckpointTensor, shape: Shape) throws(CheckpointError) -> Weight {
    let tensor = stored.unfolded(to: shape) ?? stored
    guard tensor.shape == shape else {
      throw .wrongShape(file: tensor.file, key: tensor.name, expected: shape, found: tensor.shape)
    }
    guard tensor.dtype.isFloatingPoint || tensor.dtype == .int8 || tensor.blocks != nil else {
      throw .wrongType(file: tensor.file, key: tensor.name, expected: "floating-point numbers", found: tensor.dtype)
    }
    let weight = try checkpoint.weight(tensor)
    account.use(tensor.name)
    do {
      return try adopt(weight)
    } catch let error as CheckpointError {
      throw error
    } catch {
      throw .notAdopted(file: tensor.file, key: tensor.name, reason: "\(error)")
    }
  }

  private func missing(_ name: String, shape: Shape) -> CheckpointError {
    let wanted = keys.stored(canonical(name)).keys
    let key = wanted.first { checkpoint[$0] == nil } ?? wanted[0]
    if let kind = checkpoint.kindOfOpaqueEntry(key) {
      return .opaqueWeight(file: checkpoint.path, key: key, kind: kind)
    }
    return .missingKey(file: checkpoint.path, key: key, shape: shape, similar: similarKeys(to: key))
  }

  /// Up to three keys that begin and end like one that is missing.
  private func similarKeys(to key: String) -> [String] {
    let wanted = Array(key.utf8)
    let scored = checkpoint.tensors.compactMap { tensor -> (score: Int, key: String)? in
      let name = Array(tensor.name.utf8)
      let prefix = zip(wanted, name).prefix { $0 == $1 }.count
      let rest = min(wanted.count, name.count) - prefix
      let suffix = zip(wanted.reversed(), name.reversed()).prefix(rest).prefix { $0 == $1 }.count
      let score = prefix + suffix
      return score * 2 > max(wanted.count, name.count) ? (score, tensor.name) : nil
    }
    return scored.sorted { ($1.score, $0.key) < ($0.score, $1.key) }.prefix(3).map(\.key)
  }
}

// MARK: Accounting

extension WeightScope {
  /// Declares that tensors of this scope whose names begin with `prefix` belong to parts that are not loaded
  /// (`encoder.` of the autoencoder where only the decoder is wanted).
  public func ignore(prefix: String) { account.ignore(canonical(prefix)) }

  /// The keys in the checkpoint that have been taken so far, sorted.
  public var usedKeys: [String] { account.usedKeys.sorted() }

  /// The keys below this scope that have been neither taken nor ignored, in the order of the files.
  public var unusedKeys: [String] { unusedKeys(ignoring: []) }

  /// Checks that every tensor below this scope was taken or declared ignored.
  /// - Parameter patterns: More names to ignore, relative to this scope; `*` stands for any run of characters.
  /// - Throws: `CheckpointError.unusedKeys`, with the first ten.
  public func finish(ignoring patterns: [String] = []) throws(CheckpointError) {
    let unused = unusedKeys(ignoring: patterns)
    if unused.isEmpty { return }
    throw .unusedKeys(file: checkpoint.path, first: Array(unused.prefix(10)), count: unused.count)
  }

  private func unusedKeys(ignoring patterns: [String]) -> [String] {
    let used = account.usedKeys
    let ignored = account.ignoredPrefixes
    let patterns = patterns.map { NamePattern(canonical($0)) }
    let prefix = path.isEmpty ? "" : path + "."
    return checkpoint.tensors.map(\.name).filter { key in
      if used.contains(key) || keys.isForeign(key) { return false }
      let name = keys.name(forStoredKey: key)
      return name.hasPrefix(prefix) && !ignored.contains { name.hasPrefix($0) }
        && !patterns.contains { $0.matches(name) }
    }
  }
}

extension Shape {
  /// The shape of tensors joined along their rows; nil where they differ beside those.
  fileprivate init?(joiningRows shapes: [Shape]) {
    guard let first = shapes.first, first.rank > 0,
      shapes.allSatisfy({ $0.rank == first.rank && $0.dimensions.dropFirst() == first.dimensions.dropFirst() })
    else {
      guard shapes.count == 1 else { return nil }
      self = shapes[0]
      return
    }
    self.init([shapes.reduce(0) { $0 + $1[0] }] + first.dimensions.dropFirst())
  }
}
