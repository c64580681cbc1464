import Checkpoints
import TensorCore
import Testing

/// What trainers keep beside weights in PyTorch files: passed over, never executed, and no reason to distrust a file.
struct OpaqueValueTests {
  let folder: TemporaryFolder
  private static let sixteen = [UInt8](repeating: 0, count: 16)

  init() throws { folder = try TemporaryFolder() }

  private func checkpoint(
    _ pickle: [UInt8], loadKey: String? = nil, _ change: (inout ZipWriter) -> Void = { _ in }
  ) throws -> Checkpoint {
    var archive = ZipWriter(pickle: pickle, storages: [Self.sixteen])
    change(&archive)
    return try Checkpoint(path: try folder.write(archive.bytes(), "model.pt"), loadKey: loadKey)
  }

  /// A value, and the name that it is made by.
  struct Value: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let bytes: [UInt8]

    init(_ name: String, _ bytes: [UInt8]) { (testDescription, self.bytes) = (name, bytes) }

    /// A call of a name.
    init(_ module: String, _ name: String, _ arguments: [UInt8]...) {
      testDescription = "\(module).\(name)"
      bytes = Pickle.name(module, name) + [0x28] + arguments.flatMap { $0 } + [0x74, 0x52]
    }

    /// A new object of a class with a state.
    init(object module: String, _ name: String) {
      testDescription = "\(module).\(name)"
      bytes = Pickle.name(module, name) + [0x29, 0x81] + Pickle.dictionary(("lr", Pickle.number(1))) + [0x62]
    }
  }

  private static let hooks = Pickle.call(Pickle.name("collections", "OrderedDict"))

  static let values: [Value] = [
    Value("torch", "device", Pickle.text("cpu")), Value("torch", "Size", Pickle.sizes([1, 2])),
    Value("builtins", "set", Pickle.sizes([1])), Value("__builtin__", "complex", Pickle.number(0), Pickle.number(1)),
    Value("builtins", "frozenset", [0x5D]), Value("datetime", "datetime", Pickle.text("2024")),
    Value("pathlib", "PosixPath", Pickle.text("/tmp")), Value("uuid", "UUID"),
    Value("collections", "defaultdict", Pickle.name("__builtin__", "list")),
    Value("collections", "OrderedDict", [0x5D]), Value("collections", "Counter", [0x7D]),
    Value(
      "numpy.core.multiarray", "scalar", Pickle.call(Pickle.name("numpy", "dtype"), Pickle.text("f8")), Pickle.text("x")
    ),
    Value("numpy._core.multiarray", "_reconstruct", Pickle.name("numpy", "ndarray")),
    Value("_codecs", "encode", Pickle.text("x")),
    Value(object: "argparse", "Namespace"), Value(object: "types", "SimpleNamespace"),
    Value(object: "omegaconf.dictconfig", "DictConfig"), Value(object: "torch.optim.adamw", "AdamW"),
    Value(object: "transformers.training_args", "TrainingArguments"),
    Value("torch._utils", "_rebuild_sparse_tensor", Pickle.name("torch", "sparse_coo")),
    Value("torch._utils", "_rebuild_qtensor", Pickle.name("torch", "per_tensor_affine")),
    Value("a type that is not read", Pickle.name("torch", "complex64")),
    Value("a storage", Pickle.name("torch", "QInt8Storage")),
    Value(
      "tensor of complex numbers",
      Pickle.tensor(
        Pickle.storage(type: Pickle.name("torch", "ComplexFloatStorage"), count: 2), sizes: [2], strides: [1])),
    Value(
      "torch._tensor", "_rebuild_from_type_v2", Pickle.name("torch._utils", "_rebuild_tensor_v2"),
      Pickle.name("torchvision.tv_tensors", "Image"), Pickle.tuple(Pickle.storage()), [0x7D]),
    Value("wide number", [0x8A, 20] + [UInt8](repeating: 1, count: 20)),
    Value(
      "deque that is filled", Pickle.name("collections", "deque") + [0x29, 0x52, 0x28] + Pickle.number(1) + [0x65]),
    Value("object with named arguments", Pickle.name("easydict", "EasyDict") + [0x29, 0x7D, 0x92]),
  ]

  @Test(arguments: values) func `a value beside the weights is passed over`(value: Value) throws {
    let weights = Pickle.dictionary(("w", Pickle.tensor()))
    for loadKey in [nil, "module"] {
      let pickle = Pickle.file(Pickle.dictionary(("args", value.bytes), ("module", weights)))
      #expect(try checkpoint(pickle, loadKey: loadKey).tensors.map(\.name) == ["w"])
    }
    let beside = Pickle.file(Pickle.dictionary(("w", Pickle.tensor()), ("other", value.bytes)))
    #expect(try checkpoint(beside).tensors.map(\.name) == ["w"])
  }

  @Test func `the only dictionary of tensors is the weights, whatever its key, and two are a choice`() throws {
    let weights = Pickle.dictionary(("w", Pickle.tensor()))
    let one = Pickle.file(Pickle.dictionary(("epoch", Pickle.number(3)), ("model", weights)))
    #expect(try checkpoint(one).tensors.map(\.name) == ["w"])
    let two = Pickle.file(Pickle.dictionary(("model", weights), ("epoch", Pickle.number(3)), ("teacher", weights)))
    let error = try #require(throws: CheckpointError.self) { try checkpoint(two) }
    #expect("\(error)".contains("model") && "\(error)".contains("teacher"), "\(error)")
    #expect(try checkpoint(two, loadKey: "teacher").tensors.map(\.name) == ["w"])
  }

  @Test func `an opaque value where a weight is needed is an error that names it and what would make it`() throws {
    let sparse = Value("torch._utils", "_rebuild_sparse_tensor", Pickle.name("torch", "sparse_coo"))
    let found = try checkpoint(Pickle.file(Pickle.dictionary(("v", Pickle.tensor()), ("module.w", sparse.bytes))))
    let scope = WeightScope(found)
    _ = try scope.weight("v", shape: [2, 2])
    let error = try #require(throws: CheckpointError.self) { try scope.weight("w", shape: [2, 2]) }
    #expect("\(error)".contains(": w: ") && "\(error)".contains("torch._utils._rebuild_sparse_tensor"))
    #expect("\(error)".contains("save plain tensors"))
  }

  @Test func `a file of nothing but opaque values names the first of them`() throws {
    let device = Value("torch", "device", Pickle.text("cpu")).bytes
    let error = try #require(throws: CheckpointError.self) {
      try checkpoint(Pickle.file(Pickle.dictionary(("x", device))))
    }
    #expect("\(error)".contains(": x: ") && "\(error)".contains("torch.device"))
    let whole = Value(object: "torch.nn.modules.linear", "Linear").bytes
    let other = try #require(throws: CheckpointError.self) { try checkpoint(Pickle.file(whole)) }
    #expect(
      "\(other)".contains("a whole object of torch.nn.modules.linear.Linear") && "\(other)".contains("state_dict"))
    let keyed = Pickle.file(Pickle.dictionary(("model", whole), ("w", Pickle.tensor())))
    let third = try #require(throws: CheckpointError.self) { try checkpoint(keyed, loadKey: "model") }
    #expect("\(third)".contains(": model: ") && "\(third)".contains("Linear"))
  }

  @Test func `parameters, also with attributes and as a class of tensors, are tensors`() throws {
    let parameter = Pickle.name("torch.nn.parameter", "Parameter")
    let arguments = Pickle.tuple(
      Pickle.storage(), Pickle.number(0), Pickle.sizes([4]), Pickle.sizes([1]), [0x89], Self.hooks)
    let typed = Pickle.call(
      Pickle.name("torch._tensor", "_rebuild_from_type_v2"), Pickle.name("torch._utils", "_rebuild_tensor_v2"),
      parameter,
      arguments, Pickle.dictionary(("tag", Pickle.number(1))))
    let stateful = Pickle.call(
      Pickle.name("torch._utils", "_rebuild_parameter_with_state"), Pickle.tensor(), [0x88], Self.hooks, [0x7D])
    let found = try checkpoint(Pickle.file(Pickle.dictionary(("a", typed), ("b", stateful))))
    #expect(found["a"]?.shape == [4] && found["b"]?.shape == [2, 2])
  }

  @Test(arguments: [
    ("builtins", "eval"), ("builtins", "exec"), ("builtins", "getattr"), ("builtins", "__import__"),
    ("__main__", "Settings"),
    ("torch", "load"), ("torch.hub", "load"), ("torch.storage", "_load_from_bytes"), ("torch.utils.data", "os.system"),
    ("numpy", "load"), ("numpy.testing._private.utils", "runstring"), ("omegaconf.omegaconf", "open"),
    ("collections", "namedtuple"), ("shutil", "rmtree"), ("importlib", "import_module"),
    ("torch._utils", "import_module"),
    ("torchx", "Tensor"), ("", "X"),
  ])
  func `a name that could do anything is refused by name, wherever it stands`(module: String, name: String) throws {
    let call = Pickle.call(Pickle.name(module, name), Pickle.text("x"))
    let pickle = Pickle.file(Pickle.dictionary(("w", Pickle.tensor()), ("extra", call)))
    let error = try #require(throws: CheckpointError.self) { try checkpoint(pickle) }
    let message = "\(error)"
    #expect(message.contains("\(module).\(name), which Python would run") && message.contains("nothing was executed"))
    #expect(message.contains("save the weights alone") && !message.contains("malformed"))
  }

  @Test func `a checksum of zero is none, a wrong one is refused`() throws {
    let pickle = Pickle.file(Pickle.dictionary(("w", Pickle.tensor())))
    let found = try checkpoint(pickle) { archive in
      for index in archive.entries.indices { archive.entries[index].claimedChecksum = 0 }
    }
    #expect(found["w"]?.tensor.floats() == [0, 0, 0, 0])
    let error = try #require(throws: CheckpointError.self) {
      try checkpoint(pickle) { $0.entries[0].claimedChecksum = 1 }
    }
    #expect("\(error)".contains("checksum 1"))
  }
}
