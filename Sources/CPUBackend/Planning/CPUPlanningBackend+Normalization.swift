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
    tasks(pool.rangeCount(count: tokens, grain: CPUBackend.rowGrain(heads * size)), 2 * size)
    note(
      .headNorm, [tokens, heads, size, rotary == nil ? 0 : 1], [weight],
      reads: x.byteCount + (rotary.map { 2 * $0.cosines.byteCount } ?? 0), writes: result.byteCount)
    return withExtendedLifetime((input, weights, table)) { result }
  }

  public func groupNorm(
    _ x: Tensor, groups: Int, weight: Weight, bias: Weight, epsilon: Float, activation: Activation
  ) throws(BackendError) -> Tensor {
    let input = x.isContiguous ? x : channelsLast(x)
    let factors = channelFactors(input, isChannelsLast: !x.isContiguous)
    let result = tensor(like: input)
    if x.count == 0 { return result }
    // Read for the statistics, then again.
    noteGroupNorm(
      input, weight, bias, isChannelsLast: !x.isContiguous, reads: 2 * x.byteCount, writes: result.byteCount)
    return withExtendedLifetime((input, factors)) { result }
  }

  func channelFactors(_ input: Tensor, isChannelsLast: Bool) -> PlannedStorage {
    let channels = input.shape[1]
    let parameters = [scratch(channels), scratch(channels)]
    let factors = scratch(input.shape[0] * 3 * channels)
    if isChannelsLast && input.count > 0 {
      let chunk = max(1, (1 << 18) / channels)
      tasks((input.count / (input.shape[0] * channels) + chunk - 1) / chunk, 2 * channels)
    }
    return withExtendedLifetime(parameters) { factors }
  }

  func noteGroupNorm(
    _ input: Tensor, _ weight: Weight, _ bias: Weight, isChannelsLast: Bool, reads: Int, writes: Int
  ) {
    let (batch, channels) = (input.shape[0], input.shape[1])
    note(
      .groupNorm, [batch, channels, input.count / (batch * channels), isChannelsLast ? 1 : 0], [weight, bias],
      reads: reads, writes: writes)
  }
}
