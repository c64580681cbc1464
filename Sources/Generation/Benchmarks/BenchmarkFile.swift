public import Checkpoints
import HunyuanVideo
import Synchronization
import TensorCore
import TensorOps

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A transformer's weights in a file, kept in memory or read ahead while its steps are timed.
public final class BenchmarkFile {
  /// What the weights are in when a run begins.
  public enum Place {
    /// The process's memory.
    case memory
    /// The system's memory of files: the process has to map it again.
    case cache
    /// The disk.
    case disk
  }

  private let network: PublishedNetwork
  public let readAhead: WeightReadAhead
  private let weights = WeightList()
  /// Names of the weights that the steps which are timed do without.
  private var otherPhase: Set<String> = []

  private let clock = ContinuousClock()
  /// The time from before the file was opened to after what comes before the steps.
  public private(set) var preparationSeconds = 0.0

  /// Opens a file or folder.
  /// - Throws: `CheckpointError` where that is no transformer.
  public init(path: String, windowBytes: Int) throws(CheckpointError) {
    let start = clock.now
    network = try PublishedNetwork(path: path, expecting: .transformer)
    readAhead = WeightReadAhead(windowBytes: windowBytes)
    preparationSeconds = start.duration(to: clock.now) / .seconds(1)
  }

  /// Does what comes before the steps, and counts its time.
  func preparing<Result>(_ body: () throws -> Result) rethrows -> Result {
    let start = clock.now
    defer { preparationSeconds += start.duration(to: clock.now) / .seconds(1) }
    return try body()
  }

  /// The sizes that the weights have.
  public var width: Int { get throws { try network.transformerConfiguration().hiddenSize } }
  public var headCount: Int { get throws { try network.transformerConfiguration().headCount } }

  /// What most tensors with more than one axis are stored as.
  public var storageName: String {
    let types = network.checkpoint.tensors.filter { $0.shape.rank > 1 }.map { ($0.typeName, 1) }
    return Dictionary(types, uniquingKeysWith: +).max { ($0.value, $0.key) < ($1.value, $1.key) }?.key ?? "none"
  }

  /// The size of all weights in bytes.
  public var byteCount: Int { network.checkpoint.byteCount }

  /// The size in bytes of those that a step reads.
  public var stepByteCount: Int { stepWeights.reduce(0) { $0 + $1.tensor.byteCount } }

  private var stepWeights: [Weight] { weights.all.filter { !otherPhase.contains($0.name) } }

  /// Builds the network.
  func transformer(on backend: any Backend) throws -> HunyuanVideoTransformer {
    let list = weights
    let scope = network.scope { [readAhead] weight in
      readAhead.register(weight)
      list.add(weight)
      return try backend.adopt(weight)
    }
    let transformer = try HunyuanVideoTransformer(scope, configuration: network.transformerConfiguration())
    try scope.finish()
    return transformer
  }

  /// What has been used so far is not used in steps.
  func conditioningDidEnd() {
    otherPhase = readAhead.used
    readAhead.beginPhase(excluding: otherPhase)
  }

  /// What the first step used for all of them is not used in those that are timed.
  public func firstStepDidEnd() { otherPhase.formUnion(readAhead.served) }

  /// Brings the weights of a step to a place.
  public func move(to place: Place) {
    readAhead.beginPhase(excluding: otherPhase)
    readAhead.drain()
    switch place {
    case .memory: for weight in stepWeights { touch(weight) }
    case .cache:
      for weight in stepWeights {
        touch(weight)
        weight.release()
      }
    case .disk:
      for weight in weights.all { weight.release() }
      for path in network.checkpoint.files { Self.evict(path) }
    }
  }

  /// Reads a number of each page.
  private func touch(_ weight: Weight) {
    let bytes = UnsafeRawBufferPointer(start: weight.tensor.hostPointer, count: weight.tensor.byteCount)
    var sum: UInt8 = 0
    for index in stride(from: 0, to: bytes.count, by: 4096) { sum &+= bytes[index] }
    withExtendedLifetime(sum) {}
  }

  /// Asks the system to forget what it has in memory of a file.
  private static func evict(_ path: String) {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    if descriptor < 0 { return }
    // What has just been written is kept until it is on the disk.
    fdatasync(descriptor)
    posix_fadvise(descriptor, 0, 0, Int32(POSIX_FADV_DONTNEED))
    close(descriptor)
  }
}

/// Weights in the order in which they are taken.
private final class WeightList: Sendable {
  private let weights = Mutex<[Weight]>([])

  func add(_ weight: Weight) { weights.withLock { $0.append(weight) } }

  var all: [Weight] { weights.withLock { $0 } }
}
