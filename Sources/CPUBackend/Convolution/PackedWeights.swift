import Synchronization
import TensorCore
import TensorOps

/// What a weight is packed for.
enum PackedForm: Hashable {
  case phase(ConvolutionPhase)
  case winograd
}

/// Weights in the layouts that oneDNN's convolutions want, kept for the next call with the same weight.
final class PackedWeights: Sendable {
  private struct Key: Hashable {
    let storage: ObjectIdentifier
    let offset: Int
    let type: DType
    let shape: Shape
    let form: PackedForm
  }

  private struct Entry: @unchecked Sendable {
    // Sendable: packed once, read from then on.
    /// The storage that the weight came from: another may have its address once it is gone.
    let storage: WeakStorage
    let convolution: PreparedConvolution
    let packed: Scratch
    var lastUse: Int
  }

  /// A class, since weak references are dear to copy and all entries are looked at for each new one.
  private final class WeakStorage {
    private(set) weak var value: (any Storage)?
    init(_ value: any Storage) { self.value = value }
  }

  private struct State {
    var entries: [Key: [Entry]] = [:]
    var clock = 0
  }

  /// All packed weights of a full-size decoder are 0.65 GB, more than what a small tile needs beside them; packing a layer's anew
  /// for each tile costs a second of a tile's minutes.
  private static let mostBytes = 128 << 20

  private let state = Mutex(State())

  /// The weight `[O, C, k, k, k]` folded for a phase, in the layout that a convolution wants.
  func phase(
    _ phase: ConvolutionPhase, of weight: Weight, for convolution: PreparedConvolution, in workspace: Workspace
  ) throws(BackendError) -> Scratch {
    try kept(weight, .phase(phase), for: convolution) { () throws(BackendError) in
      let matrix = try WeightMatrix(weight, "causalConvolution")
      let taps = weight.shape[2]
      let volume = phase.kernel.time * phase.kernel.height * phase.kernel.width
      let folded = workspace.scratch(matrix.rows * weight.shape[1] * volume)
      let grain = CPUBackend.rowGrain(matrix.columns)
      workspace.parallelRanges(count: matrix.rows, grain: grain, scratch: matrix.columns) { rows, kernels in
        for row in rows {
          matrix.widen(rows: row..<row + 1, columns: 0..<matrix.columns, to: kernels, stride: matrix.columns)
          phase.fold(kernels, rows: weight.shape[1], taps: taps, to: folded.floats + row * weight.shape[1] * volume)
        }
      }
      let packed = workspace.scratch(byteCount: convolution.weightBytes)
      try convolution.pack(UnsafePointer(folded.floats), to: packed.floats)
      return withExtendedLifetime(folded) { packed }
    }
  }

  /// The weight `[O, C, 3, 3, 3]` transformed, group by group of outputs and position by position, in the layout that the products
  /// want.
  func winograd(
    _ weight: Weight, _ extents: WinogradExtents, for convolution: PreparedConvolution, in workspace: Workspace
  ) throws(BackendError) -> Scratch {
    try kept(weight, .winograd, for: convolution) { () throws(BackendError) in
      let matrix = try WeightMatrix(weight, "causalConvolution")
      let positions = WinogradExtents.positions * WinogradExtents.positions
      let folded = workspace.scratch(extents.foldedCount)
      let packed = workspace.scratch(extents.packedCount(weightBytes: convolution.weightBytes))
      let stride = extents.packedStride(weightBytes: convolution.weightBytes)
      let (kernels, part) = (3 * extents.channels, extents.foldedStride)
      for group in 0..<extents.groups {
        workspace.parallelRanges(
          count: extents.group, grain: CPUBackend.rowGrain(matrix.columns), scratch: matrix.columns
        ) { rows, wide in
          for row in rows {
            let output = group * extents.group + row
            matrix.widen(rows: output..<output + 1, columns: 0..<matrix.columns, to: wide, stride: matrix.columns)
            WinogradKernel.transform(wide, count: kernels, to: folded.floats + row * kernels, stride: part)
          }
        }
        try workspace.parallel(count: positions) { (position) throws(BackendError) in
          try convolution.pack(
            UnsafePointer(folded.floats + position * part),
            to: packed.floats + (group * positions + position) * stride)
        }
      }
      return withExtendedLifetime(folded) { packed }
    }
  }

  /// What is kept of a weight in a form, or else is made now.
  private func kept(
    _ weight: Weight, _ form: PackedForm, for convolution: PreparedConvolution,
    make: () throws(BackendError) -> Scratch
  ) throws(BackendError) -> Scratch {
    let storage = weight.tensor.storage
    let key = Key(
      storage: ObjectIdentifier(storage), offset: weight.tensor.offset, type: weight.dtype, shape: weight.shape,
      form: form)
    let kept: Scratch? = state.withLock { state in
      state.clock += 1
      state.entries[key]?.removeAll { $0.storage.value !== storage }
      guard let index = state.entries[key]?.firstIndex(where: { $0.convolution.hasWeightLayout(of: convolution) })
      else { return nil }
      state.entries[key]?[index].lastUse = state.clock
      return state.entries[key]?[index].packed
    }
    if let kept { return kept }
    let packed = try make()
    state.withLock { state in
      let entry = Entry(
        storage: WeakStorage(storage), convolution: convolution, packed: packed, lastUse: state.clock)
      state.entries[key, default: []].append(entry)
      PackedWeights.trim(&state)
    }
    return packed
  }

  /// Forgets weights that are gone, then those not used for longest, until the rest is within the bound.
  private static func trim(_ state: inout State) {
    if state.entries.values.joined().contains(where: { $0.storage.value == nil }) {
      for key in state.entries.keys { state.entries[key]?.removeAll { $0.storage.value == nil } }
      state.entries = state.entries.filter { !$0.value.isEmpty }
    }
    var bytes = state.entries.values.joined().reduce(0) { $0 + 4 * $1.packed.count }
    while bytes > mostBytes, state.entries.count > 1 {
      let oldest = state.entries.min { lastUse($0.value) < lastUse($1.value) }
      guard let oldest else { return }
      bytes -= oldest.value.reduce(0) { $0 + 4 * $1.packed.count }
      state.entries[oldest.key] = nil
    }
  }

  private static func lastUse(_ entries: [Entry]) -> Int { entries.map(\.lastUse).max() ?? 0 }
}
