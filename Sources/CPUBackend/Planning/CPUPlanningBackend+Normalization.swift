public import TensorCore
public import TensorOps

extension CPUPlanningBackend {
  public func layerNorm(
    _ x: Tensor, weight: Weight?, bias: Weight?, scale: Tensor?, shift: Tensor?, epsilon: Float
  ) throws(BackendError) -> Tensor {
    let width = x.shape[2]
    let parameters = [weight, bias].map { $0.map { scratch($0.shape.count) } }
    let modulation = [scale, shift].map { $0.map { rows($0) } }
    let input = rows(x)
    let result = tensor(x.shape)
    note(.layerNorm, [input.count, width], [weight, bias], reads: x.byteCount, writes: result.byteCount)
    return withExtendedLifetime((parameters, modulation, input)) { result }
  }

  public func rmsNorm(_ x: Tensor, weight: Weight, epsilon: Float) throws(BackendError) -> Tensor {
    let input = rows(x)
    let weights = scratch(input.width)
    let result = tensor(x.shape)
    note(.rmsNorm, [input.count, input.width], [weight], reads: x.byteCount, writes: result.byteCount)
    return withExtendedLifetime((input, weights)) { result }
  }

  public func headNorm(
    _ x: Tensor, weight: Weight?, epsilon: Float, rotary: RotaryTable?
  ) throws(BackendError) -> Tensor {
    let (tokens, heads, size) = (x.shape[0] * x.shape[1], x.shape[2], x.shape[3])
    let input = rows(x)
    let weights = weight.map { _ in scratch(size) }
    let table = rotary.map { (rows($0.cosines), rows($0.sines)) }
    let result = tensor(x.shape)
    tasks(pool.concurrentRanges(count: tokens, grain: CPUBackend.rowGrain(heads * size)), [2 * size])
    note(
      .headNorm, [tokens, heads, size, rotary == nil ? 0 : 1], [weight],
      reads: x.byteCount + (rotary.map { 2 * $0.cosines.byteCount } ?? 0), writes: result.byteCount)
    return withExtendedLifetime((input, weights, table)) { result }
  }

  public func groupNorm(
    _ x: Tensor, groups: Int, weight: Weight, bias: Weight, epsilon: Float, activation: Activation
  ) throws(BackendError) -> Tensor {
    let channels = x.shape[1]
    let parameters = [scratch(channels), scratch(channels)]
    let input = x.isContiguous ? x : channelsLast(x)
    let result = tensor(like: input)
    if x.count == 0 { return result }
    let positions = x.count / (x.shape[0] * channels)
    let factors = scratch(3 * channels)
    if !x.isContiguous {
      let chunk = max(1, (1 << 18) / channels)
      tasks(min(pool.threads, (positions + chunk - 1) / chunk), [2 * channels])
    }
    // Read for the statistics, then again.
    note(
      .groupNorm, [x.shape[0], channels, positions, x.isContiguous ? 0 : 1], [weight, bias], reads: 2 * x.byteCount,
      writes: result.byteCount)
    return withExtendedLifetime((parameters, input, factors)) { result }
  }
}
