public import TensorOps

/// The time that kernels take at least on an Ascend 910B of an Atlas 800I A2, by what bounds them: the rate of products or that of
/// memory. A model, not a measurement; `docs/ascend.md` says where each figure is from.
public struct AscendRoofline: Sendable {
  /// Products in bfloat16 and float16, multiplications and additions counted, per second.
  public var operationsPerSecond = 313e12
  /// The share of it that whole steps of the transformer have been published with; products and attention are taken at that.
  public var productEfficiency = 0.51
  /// The share that decoding has been published with: three-dimensional convolutions.
  public var convolutionEfficiency = 0.09
  /// Device memory, bytes per second, and the share of it that kernels are taken to reach.
  public var memoryBytesPerSecond = 1.6e12
  public var memoryEfficiency = 0.75
  /// What a kernel takes however small it is: an assumption.
  public var secondsPerKernel = 10e-6
  /// Between two cards of a host, one way: 392 GB/s are seven links, both ways.
  public var linkBytesPerSecond = 28e9
  /// From the host to the device: an assumption.
  public var hostBytesPerSecond = 20e9

  public init() {}

  /// Seconds of some operations.
  public func seconds(of work: OperationCounts) -> Double {
    work.calls.reduce(0) { $0 + Double($1.value) * seconds(of: $1.key) }
  }

  /// Seconds of one kernel; transfers between devices are bound by their links, not by memory, and count elsewhere.
  public func seconds(of operation: PlannedOperation) -> Double {
    guard operation.kind == .kernel, !operation.format.hasPrefix("Hccl") else { return 0 }
    let efficiency = operation.format == "aclnnConvolution" ? convolutionEfficiency : productEfficiency
    let computing = Double(operation.extents[0]) / (operationsPerSecond * efficiency)
    let moving = Double(operation.extents[1]) / (memoryBytesPerSecond * memoryEfficiency)
    return secondsPerKernel + max(computing, moving)
  }

  /// Seconds of what a rank sends, where nothing hides it: an exchange of heads has a link to each rank of its group, the ring one.
  public func seconds(sendingTo ranks: Int, bytes: Double) -> Double {
    ranks > 0 ? bytes / (Double(ranks) * linkBytesPerSecond) : 0
  }
}
