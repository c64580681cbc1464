import TensorCore

extension Tensor {
  /// The address of the first element of a float32 activation; of an imagined one an address to calculate with.
  var floats: UnsafeMutablePointer<Float> {
    guard let address = storage.hostAddress else { return Tensor.imaginedAddress }
    return (address + offset * 4).assumingMemoryBound(to: Float.self)
  }

  /// Far below what a process has been given: whoever reads or writes there ends it.
  static var imaginedAddress: UnsafeMutablePointer<Float> {
    guard let address = UnsafeMutablePointer<Float>(bitPattern: 64) else { preconditionFailure("64 is no address") }
    return address
  }

  func requireFloat32(_ operation: String) {
    precondition(dtype == .float32, "\(operation): expected float32 activations, found \(self)")
  }

  /// Whether neighbours along the last axis are neighbours in memory.
  var hasDenseRows: Bool { shape.rank == 0 || shape.last <= 1 || strides[shape.rank - 1] == 1 }
}

/// A tensor read as rows along its last axis, which is dense; the other axes may have any strides.
struct Rows {
  let tensor: Tensor
  let count: Int
  let width: Int
  /// Extents and strides of the other axes, outermost first, neighbours joined where they form one axis.
  private let axes: [(extent: Int, stride: Int)]

  /// - Precondition: the last axis is dense.
  init(_ tensor: Tensor) {
    precondition(tensor.hasDenseRows, "rows: the last axis of \(tensor) with strides \(tensor.strides) is not dense")
    self.tensor = tensor
    let rank = tensor.shape.rank
    width = rank == 0 ? 1 : tensor.shape.last
    count = tensor.shape.rows
    var joined: [(extent: Int, stride: Int)] = []
    for axis in 0..<max(rank - 1, 0) where tensor.shape[axis] != 1 {
      let (extent, stride) = (tensor.shape[axis], tensor.strides[axis])
      if let outer = joined.last, outer.stride == stride * extent {
        joined[joined.count - 1] = (outer.extent * extent, stride)
      } else {
        joined.append((extent, stride))
      }
    }
    axes = joined
  }

  /// The distance of neighbouring rows where it is the same for all.
  var uniformStride: Int? {
    switch axes.count {
    case 0: width
    case 1: axes[0].stride
    default: nil
    }
  }

  /// The address of a row.
  func row(_ index: Int) -> UnsafeMutablePointer<Float> {
    if axes.count == 1 { return tensor.floats + index * axes[0].stride }
    var (offset, rest) = (0, index)
    for axis in axes.reversed() {
      offset += rest % axis.extent * axis.stride
      rest /= axis.extent
    }
    return tensor.floats + offset
  }
}

extension CPUBackend {
  /// The tensor as rows, copied where its last axis is not dense.
  func rows(_ x: Tensor, _ operation: String) -> Rows {
    x.requireFloat32(operation)
    return Rows(x.hasDenseRows ? x : copied(x))
  }
}
