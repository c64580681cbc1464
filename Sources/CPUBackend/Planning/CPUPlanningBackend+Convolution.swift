import Synchronization
public import TensorCore
public import TensorOps

extension CPUPlanningBackend {
  public func causalConvolution(
    _ x: Tensor, weight: Weight, bias: Weight?, upsampling: Upsampling, residual: Tensor?
  ) throws(BackendError) -> Tensor {
    let (outputs, taps) = (weight.shape[0], weight.shape[2])
    let shape: Shape = [
      x.shape[0], outputs, upsampling.frames(x.shape[2]), x.shape[3] * upsampling.space, x.shape[4] * upsampling.space,
    ]
    let input = channelsLast(x)
    if taps == 1 { return try pointwise(input, weight, bias, upsampling, residual) }
    let result = tensor([shape[0], shape[2], shape[3], shape[4], outputs]).permuted([0, 4, 1, 2, 3])
    let added = residual.map { channelsLast($0) }
    let biases = scratch(outputs)
    let pixels = Double(shape.count / max(outputs, 1))
    let extents = x.shape.dimensions
    note(
      .convolution,
      [extents[1], outputs, taps, extents[0], extents[2], extents[3], extents[4], upsampling.time, upsampling.space]
        + [residual == nil ? 0 : 1],
      [weight, bias],
      operations: 2 * pixels * Double(outputs * extents[1] * taps * taps * taps),
      reads: x.byteCount + (residual?.byteCount ?? 0), writes: result.byteCount)
    if outputs <= NarrowConvolution.mostOutputs && upsampling == .none {
      narrow(input, weight)
    } else if let extents = WinogradExtents(taps: taps, upsampling: upsampling, outputs: outputs, input) {
      try winograd(weight, extents)
    } else {
      try slab(input, weight, upsampling, accumulates: residual != nil)
    }
    return withExtendedLifetime((input, added, biases)) { result }
  }

  public func causalConvolution(
    _ x: Tensor, after norm: GroupNormalization, weight: Weight, bias: Weight?, residual: Tensor?
  ) throws(BackendError) -> Tensor {
    if x.count == 0 || weight.shape[2] == 1 || weight.shape[0] <= NarrowConvolution.mostOutputs {
      return try causalConvolution(
        groupNorm(x, norm), weight: weight, bias: bias, upsampling: .none, residual: residual)
    }
    let input = channelsLast(x)
    let factors = channelFactors(input, isChannelsLast: true)
    noteGroupNorm(input, norm.weight, norm.bias, isChannelsLast: true, reads: x.byteCount, writes: 0)
    let result = try causalConvolution(
      input, weight: weight, bias: bias, upsampling: .none, residual: residual)
    return withExtendedLifetime(factors) { result }
  }

  private func pointwise(
    _ x: Tensor, _ weight: Weight, _ bias: Weight?, _ upsampling: Upsampling, _ residual: Tensor?
  ) throws(BackendError) -> Tensor {
    let matrix = weight.reshaped([weight.shape[0], weight.shape[1]])
    var result = try linear([x.permuted([0, 2, 3, 4, 1])], weight: matrix, bias: bias, activation: .none)
    if upsampling != .none {
      let small = result
      result = tensor([
        x.shape[0], upsampling.frames(x.shape[2]), x.shape[3] * upsampling.space, x.shape[4] * upsampling.space,
        weight.shape[0],
      ])
      noteCopy(from: result, to: result)
      withExtendedLifetime(small) {}
    }
    let clip = result.permuted([0, 4, 1, 2, 3])
    guard let residual else { return clip }
    return try self.residual(clip, gate: nil, residual)
  }

  private func narrow(_ x: Tensor, _ weight: Weight) {
    let (taps, height, width) = (weight.shape[2], x.shape[3], x.shape[4])
    let products = taps * taps * weight.shape[0]
    let rows = NarrowConvolution.height(rows: height, width: width, channels: x.shape[1], products: products)
    let weights = scratch(taps * x.shape[1] * products)
    do { withExtendedLifetime(scratch(weight.shape.count / weight.shape[0])) {} }
    let bands = (height + rows - 1) / rows
    let seen = min(rows + taps - 1, height)
    tasks(x.shape[0] * x.shape[2] * bands, seen * width * products)
    withExtendedLifetime(weights) {}
  }

  private func slab(_ x: Tensor, _ weight: Weight, _ upsampling: Upsampling, accumulates: Bool) throws(BackendError) {
    let (channels, rows, width) = (x.shape[1], x.shape[3], x.shape[4])
    let phases = ConvolutionPhase.all(taps: weight.shape[2], upsampling: upsampling)
    let kernel = phases[0].kernel
    let slices = x.shape[0] * x.shape[2]
    let height = SlabConvolution.height(kernel, slices: slices, rows: rows, width: width, channels: channels)
    let bands = (rows + height - 1) / height
    let isDirect = upsampling == .none
    var working = 0
    for phase in phases {
      for height in Set([height, rows - (bands - 1) * height]).sorted(by: >) {
        let needed = try backend.convolutions.memory(
          of: ConvolutionPrimitive.Key(
            channels: channels, outputs: weight.shape[0], kernel: phase.kernel,
            result: KernelExtents(time: 1, height: height, width: width), accumulates: isDirect && accumulates))
        let volume = phase.kernel.time * phase.kernel.height * phase.kernel.width
        pack(weight, .phase(phase), byteCount: needed.weightBytes) {
          let folded = self.scratch(weight.shape[0] * weight.shape[1] * volume)
          let columns = weight.shape.count / weight.shape[0]
          tasks(pool.rangeCount(count: weight.shape[0], grain: CPUBackend.rowGrain(columns)), columns)
          return folded
        }
        working = max(working, needed.scratchBytes)
      }
    }
    let scratch = SlabScratch(
      kernel: kernel, height: height, width: width, channels: channels, outputs: weight.shape[0], isDirect: isDirect,
      workBytes: working)
    tasks(slices * bands, scratch.count)
  }

  private func winograd(_ weight: Weight, _ extents: WinogradExtents) throws(BackendError) {
    let full = try backend.convolutions.memory(of: extents.key(frames: extents.chunk))
    let last = try backend.convolutions.memory(of: extents.key(frames: extents.lastChunk))
    pack(weight, .winograd, byteCount: 4 * extents.packedCount(weightBytes: full.weightBytes)) {
      let folded = scratch(extents.foldedCount)
      let columns = weight.shape.count / weight.shape[0]
      tasks(pool.rangeCount(count: extents.group, grain: CPUBackend.rowGrain(columns)), columns)
      tasks(WinogradExtents.positions * WinogradExtents.positions, 0)
      return folded
    }
    let biases = scratch(extents.outputs + extents.group)
    tasks(extents.tasks, extents.scratchCount(workBytes: max(full.scratchBytes, last.scratchBytes)))
    withExtendedLifetime(biases) {}
  }
}

/// The packed weights that the convolution cache would hold.
struct PackedPlans {
  struct Key: Hashable {
    let storage: ObjectIdentifier
    let offset: Int
    let form: PackedForm
  }

  /// A class, since weak references are dear to copy and all entries are looked at for each new one.
  final class Entry {
    private(set) weak var storage: (any Storage)?
    let packed: PlannedStorage
    var lastUse: Int

    init(storage: any Storage, packed: PlannedStorage, lastUse: Int) {
      (self.storage, self.packed, self.lastUse) = (storage, packed, lastUse)
    }
  }

  var entries: [Key: Entry] = [:]
  var clock = 0
}

extension CPUPlanningBackend {
  /// A weight's packed form: made at its first use, kept within the cache's bound.
  /// - Parameter fold: what is needed while it is made, and until it is.
  private func pack(_ weight: Weight, _ form: PackedForm, byteCount: Int, fold: () -> PlannedStorage) {
    let key = PackedPlans.Key(
      storage: ObjectIdentifier(weight.tensor.storage), offset: weight.tensor.offset, form: form)
    let isKnown = packed.withLock { plans in
      plans.clock += 1
      if plans.entries[key]?.storage !== weight.tensor.storage { plans.entries[key] = nil }
      plans.entries[key]?.lastUse = plans.clock
      return plans.entries[key] != nil
    }
    if isKnown { return }
    let folded = fold()
    let storage = memory.scratch(byteCount: byteCount)
    withExtendedLifetime(folded) {}
    packed.withLock { plans in
      plans.entries[key] = PackedPlans.Entry(
        storage: weight.tensor.storage, packed: storage, lastUse: plans.clock)
      if plans.entries.values.contains(where: { $0.storage == nil }) {
        plans.entries = plans.entries.filter { $0.value.storage != nil }
      }
      var bytes = plans.entries.values.reduce(0) { $0 + $1.packed.byteCount }
      while bytes > ConvolutionCache.mostWeightBytes, plans.entries.count > 1 {
        guard let oldest = plans.entries.min(by: { $0.value.lastUse < $1.value.lastUse }) else { return }
        bytes -= oldest.value.packed.byteCount
        plans.entries[oldest.key] = nil
      }
    }
  }
}
