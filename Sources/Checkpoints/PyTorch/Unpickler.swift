import StrictJSON
import TensorCore

/// A pickle machine that can build tensors, dictionaries, lists and plain values, and nothing else. Of the other things
/// that trainers save it keeps the names alone (`PickleNames`), as opaque values; any other name, instruction or storage is
/// refused. Nothing in a file is executed.
struct Unpickler {
  private let file: String
  private var cursor: ByteCursor
  private var stack: [PickleValue] = []
  /// Where the stack stood at each mark.
  private var marks: [Int] = []
  private var memo: [Int: PickleValue] = [:]
  private(set) var containers = PickleContainers()

  /// - Parameter bytes: The pickle; must outlive the machine.
  init(_ bytes: UnsafeRawBufferPointer, file: String, part: String) {
    self.file = file
    cursor = ByteCursor(bytes, file: file, part: part)
  }

  /// Runs the pickle and returns the value that it builds.
  mutating func run() throws(CheckpointError) -> PickleValue {
    while true {
      let byte = try cursor.read(UInt8.self, "an instruction")
      guard let instruction = PickleInstruction(rawValue: byte) else {
        throw refused("instruction \(PickleInstruction.name(of: byte))")
      }
      if instruction == .stop { return try pop() }
      try execute(instruction)
    }
  }

  func malformed(_ expected: String, _ found: String) -> CheckpointError { cursor.malformed(expected, found) }

  func refused(_ what: String) -> CheckpointError { .refused(file: file, place: cursor.part, found: what) }

  // MARK: Stack

  private mutating func push(_ value: PickleValue) { stack.append(value) }

  private mutating func pop() throws(CheckpointError) -> PickleValue {
    guard stack.count > marks.last ?? 0, let value = stack.popLast() else { throw malformed("a value", "none") }
    return value
  }

  private func top() throws(CheckpointError) -> PickleValue {
    guard stack.count > marks.last ?? 0, let value = stack.last else { throw malformed("a value", "none") }
    return value
  }

  private mutating func popMarked() throws(CheckpointError) -> [PickleValue] {
    guard let start = marks.popLast() else { throw malformed("a mark", "none") }
    let values = Array(stack[start...])
    stack.removeSubrange(start...)
    return values
  }

  private mutating func pairs(_ values: [PickleValue]) throws(CheckpointError) -> [(
    key: PickleValue, value: PickleValue
  )] {
    guard values.count % 2 == 0 else { throw malformed("keys and values", "an odd number") }
    return stride(from: 0, to: values.count, by: 2).map { (values[$0], values[$0 + 1]) }
  }

  // MARK: Instructions

  private mutating func execute(_ instruction: PickleInstruction) throws(CheckpointError) {
    switch instruction {
    case .proto:
      let version = try cursor.read(UInt8.self, "a protocol")
      guard (2...5).contains(version) else { throw refused("protocol \(version)") }
    case .frame: _ = try cursor.take(8, "a frame's length")
    case .stop: break
    case .mark: marks.append(stack.count)
    case .pop: if marks.last == stack.count { marks.removeLast() } else { _ = try pop() }
    case .popMark: _ = try popMarked()
    case .dup: push(try top())
    case .none: push(.none)
    case .newTrue: push(.bool(true))
    case .newFalse: push(.bool(false))
    case .binInt: push(.integer(Int(try cursor.read(Int32.self, "a number"))))
    case .binInt1: push(.integer(Int(try cursor.read(UInt8.self, "a number"))))
    case .binInt2: push(.integer(Int(try cursor.read(UInt16.self, "a number"))))
    case .long1: push(try long(cursor.size(UInt8.self, "a length")))
    case .long4: push(try long(cursor.size(UInt32.self, "a length")))
    case .binFloat: push(.float(Double(bitPattern: try cursor.read(UInt64.self, "a number").byteSwapped)))
    case .shortBinString, .shortBinBytes: _ = try skip(cursor.size(UInt8.self, "a length"))
    case .binString, .binBytes: _ = try skip(cursor.size(UInt32.self, "a length"))
    case .binBytes8, .byteArray8: _ = try skip(cursor.size(UInt64.self, "a length"))
    case .shortBinUnicode: push(.string(try cursor.text(cursor.size(UInt8.self, "a length"), "a text")))
    case .binUnicode: push(.string(try cursor.text(cursor.size(UInt32.self, "a length"), "a text")))
    case .binUnicode8: push(.string(try cursor.text(cursor.size(UInt64.self, "a length"), "a text")))
    case .binGet: push(try remembered(cursor.size(UInt8.self, "a number")))
    case .longBinGet: push(try remembered(cursor.size(UInt32.self, "a number")))
    case .binPut: memo[try cursor.size(UInt8.self, "a number")] = try top()
    case .longBinPut: memo[try cursor.size(UInt32.self, "a number")] = try top()
    case .memoize: memo[memo.count] = try top()
    case .global, .stackGlobal, .reduce, .newObject, .newObjectWithNames, .build, .binPersistentID:
      try executeObject(instruction)
    default: try executeContainer(instruction)
    }
  }

  private mutating func executeContainer(_ instruction: PickleInstruction) throws(CheckpointError) {
    switch instruction {
    case .emptyTuple: push(.tuple(containers.add(sequence: [])))
    case .tuple: push(.tuple(containers.add(sequence: try popMarked())))
    case .tuple1, .tuple2, .tuple3:
      var values: [PickleValue] = []
      for _ in 0...(instruction.rawValue - PickleInstruction.tuple1.rawValue) { values.append(try pop()) }
      push(.tuple(containers.add(sequence: values.reversed())))
    case .emptyList, .emptySet: push(.list(containers.add(sequence: [])))
    case .list, .frozenSet: push(.list(containers.add(sequence: try popMarked())))
    case .append: try append([pop()])
    case .appends, .addItems: try append(popMarked())
    case .emptyDictionary: push(.dictionary(containers.add(dictionary: [])))
    case .dictionary: push(.dictionary(containers.add(dictionary: try pairs(popMarked()))))
    case .setItem:
      let value = try pop()
      try set([(try pop(), value)])
    case .setItems: try set(pairs(popMarked()))
    default: throw refused("instruction \(instruction)")
    }
  }

  private mutating func append(_ values: [PickleValue]) throws(CheckpointError) {
    if case .opaque = try top() { return }
    guard case .list(let index) = try top() else { throw malformed("a list", try top().summary) }
    containers.sequences[index] += values
  }

  private mutating func set(_ pairs: [(key: PickleValue, value: PickleValue)]) throws(CheckpointError) {
    if case .opaque = try top() { return }
    guard case .dictionary(let index) = try top() else { throw malformed("a dictionary", try top().summary) }
    containers.dictionaries[index] += pairs
  }

  private mutating func long(_ count: Int) throws(CheckpointError) -> PickleValue {
    let bytes = try cursor.take(count, "a number")
    // States of random generators have such numbers.
    guard count <= 8 else { return .opaque("int of \(count) bytes") }
    var bits: UInt64 = 0
    for (index, byte) in bytes.enumerated() { bits |= UInt64(byte) << (8 * index) }
    // The last byte's upper bit is the sign.
    let unused = 64 - 8 * count
    return .integer(count == 0 ? 0 : Int(Int64(bitPattern: bits << unused) >> unused))
  }

  private mutating func skip(_ count: Int) throws(CheckpointError) {
    _ = try cursor.take(count, "bytes")
    push(.bytes)
  }

  private func remembered(_ number: Int) throws(CheckpointError) -> PickleValue {
    guard let value = memo[number] else { throw malformed("a value remembered as \(number)", "none") }
    return value
  }

  // MARK: Names and objects

  private mutating func executeObject(_ instruction: PickleInstruction) throws(CheckpointError) {
    switch instruction {
    case .global: push(try global(module: line(), name: line()))
    case .stackGlobal:
      guard case .string(let name) = try pop(), case .string(let module) = try pop() else {
        throw malformed("a module and a name", "other values")
      }
      push(try global(module: module, name: name))
    case .reduce:
      let arguments = try pop()
      push(try made(by: pop(), arguments))
    case .newObjectWithNames:
      guard case .dictionary = try pop() else { throw malformed("named arguments", "another value") }
      let arguments = try pop()
      push(try made(by: pop(), arguments))
    case .newObject:
      let arguments = try pop()
      push(try made(by: pop(), arguments))
    case .build:
      // What PyTorch attaches to a dictionary of weights (`_metadata`) does not concern the weights.
      _ = try pop()
      switch try top() {
      case .dictionary, .opaque: break
      default: throw refused("state for \(try top().summary)")
      }
    default: push(.storage(try storage(pop())))
    }
  }

  private mutating func line() throws(CheckpointError) -> String {
    var copy = cursor
    var count = 0
    while try copy.read(UInt8.self, "a line") != 0x0A { count += 1 }
    let text = try cursor.text(count, "a name")
    _ = try cursor.take(1, "a line's end")
    return text
  }

  private func global(module: String, name: String) throws(CheckpointError) -> PickleValue {
    guard let global = PickleGlobal(module: module, name: name) else {
      throw .wouldRun(file: file, place: cursor.part, name: "\(module).\(name)")
    }
    return .global(global)
  }

  /// What a call would give: of the few functions that weights are made of their result, of others an opaque value.
  private mutating func made(by function: PickleValue, _ arguments: PickleValue) throws(CheckpointError) -> PickleValue
  {
    guard case .tuple(let index) = arguments else { throw malformed("arguments", arguments.summary) }
    switch function {
    case .opaque: return function
    case .global(let function): return try call(function, containers.sequences[index])
    default: throw malformed("a function's name", "another value")
    }
  }

  private mutating func call(
    _ function: PickleGlobal, _ arguments: [PickleValue]
  ) throws(CheckpointError) -> PickleValue {
    switch function {
    case .orderedDictionary:
      // Writers fill a dictionary afterwards; one made from a list could be copied again and again.
      switch arguments.first {
      case nil, .global?, .opaque?, PickleValue.none?: return .dictionary(containers.add(dictionary: []))
      case .some(let contents): return .opaque("OrderedDict made from \(contents.summary)")
      }
    case .size:
      guard arguments.count == 1, let sizes = sizes(arguments[0]) else { throw malformed("sizes", "other values") }
      return .tuple(containers.add(sequence: sizes.map { .integer($0) }))
    case .rebuildParameter:
      switch arguments.first {
      case .tensor(let tensor)?: return .tensor(tensor)
      case .opaque(let name)?: return .opaque(name)
      default: throw malformed("a parameter's tensor", "none")
      }
    case .tensorClass:
      if case .tensor? = arguments.first { return arguments[0] }
      return .opaque("torch.Tensor")
    case .rebuildTensor: return try value(ofTensor: arguments, typed: false)
    case .rebuildTypedTensor: return try value(ofTensor: arguments, typed: true)
    case .rebuildSubclass:
      guard arguments.count == 4, case .tuple = arguments[2] else {
        throw malformed("a tensor of a class", "other values")
      }
      // Only of these classes is it known that the numbers are the tensor's own.
      guard case .global(.tensorClass) = arguments[1] else {
        if case .global(let type) = arguments[1] { return .opaque("\(type)") }
        return .opaque("torch._tensor._rebuild_from_type_v2")
      }
      guard case .global(let rebuild) = arguments[0], rebuild.isTensorFunction else {
        return .opaque("torch._tensor._rebuild_from_type_v2")
      }
      return try made(by: .global(rebuild), arguments[2])
    case .harmless(let name): return .opaque(name)
    case .dtype, .storageType, .otherStorageType: throw refused("a call of \(function)")
    }
  }
}
