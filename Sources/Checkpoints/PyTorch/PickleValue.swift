import StrictJSON
import TensorCore

/// What a pickle of weights may hold. Containers are numbers of places in `PickleContainers`, so that values are flat:
/// a pickle that nests a million deep, or contains itself, costs no more than its length.
enum PickleValue {
  case none
  case bool(Bool)
  case integer(Int)
  case float(Double)
  case string(String)
  /// Contents are of no interest to weights.
  case bytes
  case tuple(Int)
  case list(Int)
  case dictionary(Int)
  case global(PickleGlobal)
  case storage(PickleStorage)
  case tensor(PickleTensor)
  /// What a name would make that weights do not need. Nothing of it was made.
  case opaque(String)

  /// What it is, for messages.
  var summary: String {
    switch self {
    case .none: "None"
    case .bool(let value): "\(value)"
    case .integer(let value): "\(value)"
    case .float(let value): "\(value)"
    case .string(let value): "'\(value.oneLine)'"
    case .bytes: "bytes"
    case .tuple: "a tuple"
    case .list: "a list"
    case .dictionary: "a dictionary"
    case .global(let value): "\(value)"
    case .storage: "a storage"
    case .tensor(let value): "a tensor \(value.shape)"
    case .opaque(let name): "a value of \(name.oneLine)"
    }
  }
}

/// The contents of containers.
struct PickleContainers {
  var sequences: [[PickleValue]] = []
  var dictionaries: [[(key: PickleValue, value: PickleValue)]] = []

  mutating func add(sequence: [PickleValue]) -> Int {
    sequences.append(sequence)
    return sequences.count - 1
  }

  mutating func add(dictionary: [(key: PickleValue, value: PickleValue)]) -> Int {
    dictionaries.append(dictionary)
    return dictionaries.count - 1
  }
}

/// The names that a pickle may use. None of them is looked up anywhere: they are words of the format.
enum PickleGlobal: CustomStringConvertible {
  case orderedDictionary
  case rebuildTensor
  /// With the type as a seventh argument.
  case rebuildTypedTensor
  case rebuildParameter
  /// Of a function, a class, the function's arguments and a state.
  case rebuildSubclass
  /// A class whose instances are the tensors that they are made from.
  case tensorClass
  case size
  case dtype(DType)
  /// The type of a storage; nil for one that counts bytes.
  case storageType(DType?)
  /// A storage of numbers that are not read.
  case otherStorageType(String)
  /// A name of no meaning to weights, which makes opaque values.
  case harmless(String)

  private static let dtypes: [String: DType] = [
    "float32": .float32, "float": .float32, "float64": .float64, "double": .float64, "float16": .float16,
    "half": .float16, "bfloat16": .bfloat16, "float8_e4m3fn": .float8E4M3, "float8_e5m2": .float8E5M2, "int8": .int8,
    "uint8": .uint8, "int16": .int16, "short": .int16, "int32": .int32, "int": .int32, "int64": .int64, "long": .int64,
    "bool": .bool,
  ]
  private static let storages: [String: DType] = [
    "FloatStorage": .float32, "DoubleStorage": .float64, "HalfStorage": .float16, "BFloat16Storage": .bfloat16,
    "Float8_e4m3fnStorage": .float8E4M3, "Float8_e5m2Storage": .float8E5M2, "CharStorage": .int8, "ByteStorage": .uint8,
    "ShortStorage": .int16, "IntStorage": .int32, "LongStorage": .int64, "BoolStorage": .bool,
  ]

  /// The meaning of a name; nil for one that could do anything.
  init?(module: String, name: String) {
    switch (module, name) {
    case ("collections", "OrderedDict"), ("collections", "defaultdict"): self = .orderedDictionary
    case ("torch._utils", "_rebuild_tensor_v2"): self = .rebuildTensor
    case ("torch._utils", "_rebuild_tensor_v3"): self = .rebuildTypedTensor
    case ("torch._utils", "_rebuild_parameter"), ("torch._utils", "_rebuild_parameter_with_state"):
      self = .rebuildParameter
    case ("torch._tensor", "_rebuild_from_type_v2"): self = .rebuildSubclass
    case ("torch", "Tensor"), ("torch.nn.parameter", "Parameter"), ("torch.nn.parameter", "Buffer"):
      self = .tensorClass
    case ("torch", "Size"): self = .size
    case ("torch", "UntypedStorage"), ("torch.storage", "UntypedStorage"): self = .storageType(nil)
    default:
      if module == "torch", let dtype = PickleGlobal.dtypes[name] {
        self = .dtype(dtype)
      } else if module == "torch", let dtype = PickleGlobal.storages[name] {
        self = .storageType(dtype)
      } else if module == "torch", name.hasSuffix("Storage") {
        self = .otherStorageType("torch.\(name)")
      } else if PickleNames.isHarmless(module: module, name: name) {
        self = .harmless("\(module).\(name)")
      } else {
        return nil
      }
    }
  }

  /// Whether it makes a tensor of a storage.
  var isTensorFunction: Bool {
    switch self {
    case .rebuildTensor, .rebuildTypedTensor: true
    default: false
    }
  }

  var description: String {
    switch self {
    case .orderedDictionary: "OrderedDict"
    case .rebuildTensor: "_rebuild_tensor_v2"
    case .rebuildTypedTensor: "_rebuild_tensor_v3"
    case .rebuildParameter: "_rebuild_parameter"
    case .rebuildSubclass: "_rebuild_from_type_v2"
    case .tensorClass: "torch.Tensor"
    case .size: "torch.Size"
    case .dtype(let dtype): "the type \(dtype)"
    case .storageType(let dtype): "storage of \(dtype.map(\.description) ?? "bytes")"
    case .otherStorageType(let name), .harmless(let name): name.oneLine
    }
  }
}

/// Memory that tensors of a pickle share: an entry of the archive.
struct PickleStorage {
  let key: String
  let dtype: DType?
  /// The type where it is none that is read.
  var otherType: String?
  /// The size in elements; in bytes where there is no type.
  let count: Int
}

/// A view of a storage.
struct PickleTensor {
  let storage: PickleStorage
  let dtype: DType
  let shape: Shape
  let strides: [Int]
  /// In elements.
  let offset: Int
}
