public import TensorCore

/// One rank: everything is already where it should be.
public struct SingleProcessGroup: ProcessGroup {
  public init() {}

  public var rank: Int { 0 }
  public var size: Int { 1 }

  public func allToAll(_ parts: [Tensor], receiving: [Shape]) throws(CollectiveError) -> [Tensor] {
    precondition(parts.count == 1 && parts[0].shape == receiving[0], "all-to-all: \(parts) for \(receiving)")
    return parts
  }

  public func allGather(_ tensor: Tensor, receiving: [Shape]) throws(CollectiveError) -> [Tensor] {
    precondition(receiving == [tensor.shape], "all-gather: \(tensor) for \(receiving)")
    return [tensor]
  }

  public func exchange(
    sending tensor: Tensor, to destination: Int, receiving shape: Shape, from source: Int
  ) throws(CollectiveError) -> any PendingTransfer {
    precondition(destination == 0 && source == 0 && tensor.shape == shape, "exchange: \(tensor) for \(shape)")
    return Arrived(tensor: tensor)
  }

  public func sum(_ values: [Double]) throws(CollectiveError) -> [Double] { values }

  public func broadcast(_ bytes: [UInt8], from root: Int) throws(CollectiveError) -> [UInt8] { bytes }

  public func barrier() throws(CollectiveError) {}

  public func subgroup(color: Int, key: Int) throws(CollectiveError) -> any ProcessGroup { self }

  private struct Arrived: PendingTransfer {
    let tensor: Tensor
    func wait() throws(CollectiveError) -> Tensor { tensor }
  }
}
