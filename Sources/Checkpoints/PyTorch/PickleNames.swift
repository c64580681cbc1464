/// Which names a pickle may hold beside those that weights are made of. None of them is looked up or called: what a file
/// makes of them is an opaque value, which is passed over where it is no weight.
///
/// The rule is that a name is either a function that only puts values together, or a class of a package in which
/// trainers keep settings. Every other name could do anything where a file is loaded with Python, and is refused.
enum PickleNames {
  /// Functions and classes of Python and NumPy that hold or rebuild plain values.
  private static let values: [String: Set<String>] = [
    "collections": [
      "OrderedDict", "defaultdict", "Counter", "deque", "ChainMap", "UserDict", "UserList", "UserString",
    ],
    "argparse": ["Namespace"], "types": ["SimpleNamespace", "MappingProxyType"],
    "copyreg": ["_reconstructor", "__newobj__", "__newobj_ex__"],
    "copy_reg": ["_reconstructor", "__newobj__", "__newobj_ex__"],
    "_codecs": ["encode"],
    "datetime": ["date", "datetime", "time", "timedelta", "timezone", "tzinfo"], "zoneinfo": ["ZoneInfo"],
    "pathlib": ["Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath"],
    "pathlib._local": ["Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath"],
    "uuid": ["UUID", "SafeUUID"], "decimal": ["Decimal"], "fractions": ["Fraction"],
    "array": ["array", "_array_reconstructor"],
    "typing": ["Any"], "random": ["Random"],
    "torch": ["device", "Size", "Generator", "Tensor"], "torch.serialization": ["_get_layout"],
  ]
  /// The same under `builtins`, and `__builtin__` of Python 2.
  private static let builtins: Set<String> = [
    "set", "frozenset", "complex", "dict", "list", "tuple", "slice", "range", "xrange", "bytes", "bytearray", "object",
    "int", "long", "float", "str", "unicode", "bool", "Ellipsis", "NotImplemented",
  ]
  /// Functions of NumPy's arrays, under the names of several versions.
  private static let arrays: Set<String> = [
    "_reconstruct", "scalar", "_frombuffer", "_ctor", "__generator_ctor", "__bit_generator_ctor", "__randomstate_ctor",
  ]
  /// Packages whose classes are settings, states of optimizers, or tensors of their own kind.
  private static let packages: Set<String> = [
    "torch", "torchao", "torchvision", "numpy", "omegaconf", "easydict", "yacs", "addict", "munch", "box",
    "ml_collections", "transformers", "diffusers", "accelerate", "peft", "deepspeed", "lightning", "pytorch_lightning",
    "lightning_fabric", "fairscale", "megatron", "optimum", "quanto", "bitsandbytes", "safetensors", "mmengine", "timm",
    "hydra",
  ]

  /// Whether a name holds or rebuilds values, and nothing else.
  static func isHarmless(module: String, name: String) -> Bool {
    if values[module]?.contains(name) == true { return true }
    if module == "builtins" || module == "__builtin__" { return builtins.contains(name) }
    let package = module.split(separator: ".", omittingEmptySubsequences: false).first.map(String.init) ?? module
    guard packages.contains(package) else { return false }
    if package == "numpy" { return arrays.contains(name) || isNumPyType(name) || isClass(name) }
    // Types, layouts and schemes of tensors: `torch.float8_e8m0fnu`, `torch.strided`, `torch.per_channel_affine`.
    if module == "torch" { return isTorchWord(name) || isClass(name) }
    if module == "torch._utils" || module == "torch._tensor" || module == "torch._prims_common" {
      return name.hasPrefix("_rebuild_") || isClass(name)
    }
    return isClass(name)
  }

  /// Classes begin with a capital letter, functions do not; a path into a class is none.
  private static func isClass(_ name: String) -> Bool {
    guard let first = name.utf8.first(where: { $0 != UInt8(ascii: "_") }), !name.contains(".") else { return false }
    return first >= UInt8(ascii: "A") && first <= UInt8(ascii: "Z")
  }

  private static func isNumPyType(_ name: String) -> Bool {
    let stems = ["int", "uint", "float", "complex", "bool", "str", "bytes", "object", "void", "datetime", "timedelta"]
    if ["ndarray", "dtype", "generic", "longlong", "ulonglong", "half", "single", "double"].contains(name) {
      return true
    }
    return stems.contains { stem in
      name.hasPrefix(stem) && name.dropFirst(stem.count).utf8.allSatisfy { $0 == UInt8(ascii: "_") || isDigit($0) }
    }
  }

  private static func isTorchWord(_ name: String) -> Bool {
    let layouts: Set<String> = [
      "strided", "sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc", "jagged", "contiguous_format",
      "preserve_format", "channels_last", "channels_last_3d", "per_tensor_affine", "per_channel_affine",
      "per_tensor_symmetric", "per_channel_symmetric", "per_channel_affine_float_qparams", "chalf", "cfloat", "cdouble",
    ]
    let stems = ["float", "bfloat", "complex", "int", "uint", "qint", "quint", "bits"]
    return layouts.contains(name)
      || stems.contains { name.hasPrefix($0) && name.dropFirst($0.count).utf8.first.map(isDigit) == true }
  }

  private static func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }
}
