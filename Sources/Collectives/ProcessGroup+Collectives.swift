public import TensorCore

// Operations of many ranks, made of messages: every rank sends exactly what the others lack, whatever the sizes.

extension ProcessGroup {
  /// Starts sending `parts[r]` to rank `r`; the result is what each rank sent here, of the shapes `receiving`.
  public func startAllToAll(
    _ parts: [Tensor], receiving: [Shape]
  ) throws(CollectiveError) -> any PendingTransfer {
    try startAllToAll(
      parts, receiving: receiving.enumerated().map { IncomingMessage($1, from: $0) }, pattern: .allToAll)
  }

  private func startAllToAll(
    _ parts: [Tensor], receiving: [IncomingMessage], pattern: TransferPattern
  ) throws(CollectiveError) -> any PendingTransfer {
    precondition(parts.count == size && receiving.count == size, "all-to-all: \(parts) for \(receiving)")
    // Each rank begins with its right neighbour, so that no rank is everybody's first.
    let order = (0..<size).map { (rank + $0) % size }
    return try transfer(
      sending: order.map { OutgoingMessage(parts[$0], to: $0) }, receiving: receiving, pattern: pattern)
  }

  /// Sends `parts[r]` to rank `r` and returns what each rank sent here, of the shapes `receiving`.
  public func allToAll(_ parts: [Tensor], receiving: [Shape]) throws(CollectiveError) -> [Tensor] {
    try startAllToAll(parts, receiving: receiving).wait()
  }

  /// Starts giving a tensor to every rank; the result is every rank's tensor, of the shapes `receiving`.
  public func startAllGather(_ tensor: Tensor, receiving: [Shape]) throws(CollectiveError) -> any PendingTransfer {
    try startAllGather(tensor, receiving: receiving.enumerated().map { IncomingMessage($1, from: $0) })
  }

  /// Starts giving a tensor to every rank; the result is every rank's tensor, as the messages `receiving`, one from each rank in
  /// order, have it.
  public func startAllGather(
    _ tensor: Tensor, receiving: [IncomingMessage]
  ) throws(CollectiveError) -> any PendingTransfer {
    try startAllToAll([Tensor](repeating: tensor, count: size), receiving: receiving, pattern: .allGather)
  }

  /// Returns every rank's tensor, of the shapes `receiving`.
  public func allGather(_ tensor: Tensor, receiving: [Shape]) throws(CollectiveError) -> [Tensor] {
    try startAllGather(tensor, receiving: receiving).wait()
  }

  /// Sums over all ranks, in the order of ranks, so that every rank gets the same bits.
  public func sum(_ values: [Double]) throws(CollectiveError) -> [Double] {
    try gather(values).reduce([Double](repeating: 0, count: values.count)) { zip($0, $1).map(+) }
  }

  /// The largest values of all ranks.
  public func maximum(_ values: [Double]) throws(CollectiveError) -> [Double] {
    try gather(values).reduce([Double](repeating: -.infinity, count: values.count)) { zip($0, $1).map(max) }
  }

  private func gather(_ values: [Double]) throws(CollectiveError) -> [[Double]] {
    let mine = values.withUnsafeBytes { Array($0) }
    var gathered: [[Double]] = []
    for bytes in try allGather(mine) {
      gathered.append(
        bytes.withUnsafeBytes { buffer in
          values.indices.map { buffer.loadUnaligned(fromByteOffset: 8 * $0, as: Double.self) }
        })
    }
    return gathered
  }

  /// Brings every rank's bytes to rank `root`; the others get nothing.
  public func gather(_ bytes: [UInt8], to root: Int) throws(CollectiveError) -> [[UInt8]] {
    let isRoot = rank == root
    let count = withUnsafeBytes(of: Int64(bytes.count).littleEndian) { Tensor(bytes: Array($0)) }
    let counts = try transfer(
      sending: [OutgoingMessage(count, to: root)],
      receiving: isRoot ? (0..<size).map { IncomingMessage([8], .uint8, from: $0) } : []
    ).wait().map { tensor in tensor.bytes.reversed().reduce(0) { $0 << 8 | Int($1) } }
    return try transfer(
      sending: [OutgoingMessage(Tensor(bytes: bytes), to: root)],
      receiving: isRoot ? counts.enumerated().map { IncomingMessage([$1], .uint8, from: $0) } : []
    ).wait().map(\.bytes)
  }

  /// Every rank's bytes, of any number.
  public func allGather(_ bytes: [UInt8]) throws(CollectiveError) -> [[UInt8]] {
    let counts = try transfer(
      sending: (0..<size).map { OutgoingMessage(Tensor([Int32(bytes.count)], shape: [1]), to: $0) },
      receiving: (0..<size).map { IncomingMessage([1], .int32, from: $0) }
    ).wait().map { $0.integers()[0] }
    let mine = Tensor(bytes: bytes)
    return try transfer(
      sending: (0..<size).map { OutgoingMessage(mine, to: $0) },
      receiving: counts.enumerated().map { IncomingMessage([$1], .uint8, from: $0) }
    ).wait().map(\.bytes)
  }

  /// Gives every rank the bytes of rank `root`.
  public func broadcast(_ bytes: [UInt8], from root: Int) throws(CollectiveError) -> [UInt8] {
    let isRoot = rank == root
    let count = try broadcast(Tensor([Int32(bytes.count)], shape: [1]), shape: [1], .int32, from: root).integers()[0]
    return try broadcast(isRoot ? Tensor(bytes: bytes) : nil, shape: [count], .uint8, from: root).bytes
  }

  /// Gives every rank the integers of rank `root`.
  public func broadcast(_ values: [Int64], from root: Int) throws(CollectiveError) -> [Int64] {
    let bytes = try broadcast(values.withUnsafeBytes { Array($0) }, from: root)
    return bytes.withUnsafeBytes { buffer in
      (0..<bytes.count / 8).map { buffer.loadUnaligned(fromByteOffset: 8 * $0, as: Int64.self) }
    }
  }

  /// Gives every rank the tensor of rank `root`; only that rank's is looked at.
  /// - Parameter place: where the tensor is, and is wanted.
  public func broadcast(
    _ tensor: Tensor?, shape: Shape, _ dtype: DType = .float32, from root: Int, place: MessagePlace = .host
  ) throws(CollectiveError) -> Tensor {
    var messages: [OutgoingMessage] = []
    if rank == root, let tensor { messages = (0..<size).map { OutgoingMessage(tensor, to: $0) } }
    let receiving = [IncomingMessage(shape, dtype, from: root, place: place)]
    return try transfer(sending: messages, receiving: receiving, pattern: .broadcast).wait()[0]
  }

  /// Waits for all ranks.
  public func barrier() throws(CollectiveError) { _ = try sum([]) }
}

extension Tensor {
  fileprivate init(bytes: [UInt8]) {
    self.init(uninitialized: [bytes.count], .uint8)
    if !bytes.isEmpty {
      bytes.withUnsafeBytes {
        UnsafeMutableRawBufferPointer(start: mutableHostPointer, count: $0.count).copyMemory(from: $0)
      }
    }
  }

  fileprivate var bytes: [UInt8] { [UInt8](UnsafeRawBufferPointer(start: hostPointer, count: byteCount)) }
}
