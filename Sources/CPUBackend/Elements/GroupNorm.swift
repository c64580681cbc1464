public import TensorCore
public import TensorOps

extension CPUBackend {
  /// Group normalization in two passes, in the layout of `x`: row-major or channels last.
  public func groupNorm(
    _ x: Tensor, groups: Int, weight: Weight, bias: Weight, epsilon: Float, activation: Activation
  ) throws(BackendError) -> Tensor {
    precondition(x.shape.rank == 5, "groupNorm: expected [B, C, F, H, W], found \(x)")
    x.requireFloat32("groupNorm")
    let channels = x.shape[1]
    precondition(groups > 0 && channels % groups == 0, "groupNorm: \(x) does not divide into \(groups) groups")
    let input = x.isContiguous ? x : channelsLast(x)
    let norm = GroupNormalization(groups: groups, weight: weight, bias: bias, epsilon: epsilon, activation: activation)
    let factors = try channelFactors(input, norm, isChannelsLast: !x.isContiguous)
    let result = workspace.tensor(like: input)
    if x.count == 0 { return result }
    // Read for the statistics, then again.
    noteGroupNorm(input, norm, isChannelsLast: !x.isContiguous, reads: 2 * x.byteCount, writes: result.byteCount)
    for item in 0..<x.shape[0] {
      let pass = GroupNormPass(input, item: item, isChannelsLast: !x.isContiguous, workspace: workspace)
      pass.apply(
        factors.floats + item * 3 * channels, activation, to: result.floats + item * pass.positions * channels)
    }
    return withExtendedLifetime((input, factors)) { result }
  }

  /// What normalization does to each channel of each batch item: `[B]` times origins, factors and offsets of all channels,
  /// `y = (x - origin) · factor + offset`.
  /// - Parameter input: dense, row-major or with channels last.
  func channelFactors(
    _ input: Tensor, _ norm: GroupNormalization, isChannelsLast: Bool
  ) throws(BackendError) -> Scratch {
    let (batch, channels) = (input.shape[0], input.shape[1])
    let weights = try workspace.widened(norm.weight, count: channels, "groupNorm")
    let biases = try workspace.widened(norm.bias, count: channels, "groupNorm")
    let factors = workspace.scratch(batch * 3 * channels)
    if input.count == 0 { return factors }
    for item in 0..<batch {
      let pass = GroupNormPass(input, item: item, isChannelsLast: isChannelsLast, workspace: workspace)
      let statistics = pass.statistics()
      workspace.serially {
        statistics.factors(
          groups: norm.groups, positions: pass.positions, weights: weights.floats, biases: biases.floats, norm.epsilon,
          to: factors.floats + item * 3 * channels)
      }
    }
    return withExtendedLifetime((weights, biases)) { factors }
  }

  func noteGroupNorm(_ input: Tensor, _ norm: GroupNormalization, isChannelsLast: Bool, reads: Int, writes: Int) {
    let (batch, channels) = (input.shape[0], input.shape[1])
    workspace.note(
      .groupNorm, [batch, channels, input.count / (batch * channels), isChannelsLast ? 1 : 0],
      [norm.weight, norm.bias], reads: reads, writes: writes)
  }
}

/// Sums of each channel's differences from the channel's first element: that keeps the digits of channels whose mean is
/// far from zero.
private struct ChannelStatistics {
  var origins: [Float]
  var sums: [Double]
  var squares: [Double]

  init(channels: Int) {
    origins = Array(repeating: 0, count: channels)
    sums = Array(repeating: 0, count: channels)
    squares = sums
  }

  /// For each channel an origin, a factor and an offset: `y = (x - origin) · factor + offset`.
  func factors(
    groups: Int, positions: Int, weights: UnsafePointer<Float>, biases: UnsafePointer<Float>, _ epsilon: Float,
    to target: UnsafeMutablePointer<Float>
  ) {
    let channels = origins.count
    let count = Double(positions)
    for group in 0..<groups {
      let members = group * (channels / groups)..<(group + 1) * (channels / groups)
      let means = members.map { Double(origins[$0]) + sums[$0] / count }
      let mean = means.reduce(0, +) / Double(members.count)
      var deviation = 0.0
      for (channel, channelMean) in zip(members, means) {
        deviation += squares[channel] - sums[channel] * sums[channel] / count
        deviation += count * (channelMean - mean) * (channelMean - mean)
      }
      let variance = max(deviation, 0) / (count * Double(members.count))
      let scale = 1 / (variance + Double(epsilon)).squareRoot()
      for channel in members {
        let factor = scale * Double(weights[channel])
        target[channel] = origins[channel]
        target[channels + channel] = Float(factor)
        target[2 * channels + channel] = Float(Double(biases[channel]) + (Double(origins[channel]) - mean) * factor)
      }
    }
  }
}

/// A normalization whose statistics are known, and its activation, for pixels with channels last.
struct ChannelNormalization {
  /// Origins, factors and offsets of all channels.
  let factors: UnsafePointer<Float>
  let channels: Int
  let activation: Activation

  func apply(positions: Int, _ x: UnsafePointer<Float>, to y: UnsafeMutablePointer<Float>) {
    let (origins, scales, offsets) = (factors, factors + channels, factors + 2 * channels)
    activation.specialized { f in
      for position in 0..<positions {
        let (row, target) = (x + position * channels, y + position * channels)
        for channel in 0..<channels {
          target[channel] = f(offsets[channel].addingProduct(row[channel] - origins[channel], scales[channel]))
        }
      }
    }
  }
}

/// The two passes over one batch item.
private struct GroupNormPass {
  private let x: UnsafePointer<Float>
  private let channels: Int
  let positions: Int
  private let isChannelsLast: Bool
  private let workspace: Workspace

  init(_ input: Tensor, item: Int, isChannelsLast: Bool, workspace: Workspace) {
    channels = input.shape[1]
    positions = input.count / (input.shape[0] * channels)
    x = UnsafePointer(input.floats + item * positions * channels)
    self.isChannelsLast = isChannelsLast
    self.workspace = workspace
  }

  func statistics() -> ChannelStatistics {
    var result = ChannelStatistics(channels: channels)
    workspace.serially {
      for channel in 0..<channels { result.origins[channel] = x[isChannelsLast ? channel : channel * positions] }
    }
    let chunk = isChannelsLast ? max(1, (1 << 18) / channels) : positions
    let chunks = (positions + chunk - 1) / chunk
    // Parts of fixed size, added in order: the same result for any number of threads.
    var parts = [Double](repeating: 0, count: workspace.computes ? 2 * channels * chunks : 1)
    parts.withUnsafeMutableBufferPointer { parts in
      guard let parts = parts.baseAddress else { return }
      if isChannelsLast {
        workspace.parallel(count: chunks, scratch: 2 * channels) { index, sums in
          addPositions(
            index * chunk..<min((index + 1) * chunk, positions), result.origins, sums,
            to: parts + index * 2 * channels)
        }
      } else {
        workspace.parallelRanges(count: channels, grain: max(1, CPUBackend.elementGrain / positions)) { range in
          for channel in range { addChannel(channel, result.origins[channel], to: parts) }
        }
      }
    }
    workspace.serially {
      for index in 0..<chunks {
        for channel in 0..<channels {
          result.sums[channel] += parts[(2 * index) * channels + channel]
          result.squares[channel] += parts[(2 * index + 1) * channels + channel]
        }
      }
    }
    return result
  }

  /// Sums over some positions of all channels, in float32 over few positions at a time.
  private func addPositions(
    _ range: Range<Int>, _ origins: [Float], _ sums: UnsafeMutablePointer<Float>, to part: UnsafeMutablePointer<Double>
  ) {
    origins.withUnsafeBufferPointer { origins in
      guard let origins = origins.baseAddress else { return }
      let squares = sums + channels
      for start in stride(from: range.lowerBound, to: range.upperBound, by: 128) {
        sums.update(repeating: 0, count: 2 * channels)
        for position in start..<min(start + 128, range.upperBound) {
          let row = x + position * channels
          for channel in 0..<channels {
            let difference = row[channel] - origins[channel]
            sums[channel] += difference
            squares[channel] = squares[channel].addingProduct(difference, difference)
          }
        }
        for index in 0..<2 * channels { part[index] += Double(sums[index]) }
      }
    }
  }

  /// Sums over all positions of one channel of a row-major tensor.
  private func addChannel(_ channel: Int, _ origin: Float, to part: UnsafeMutablePointer<Double>) {
    let row = x + channel * positions
    for start in stride(from: 0, to: positions, by: 4096) {
      let count = min(4096, positions - start)
      let vectors = count / 8 * 8
      let origins = Vector(repeating: origin)
      part[channel] += Double(sumVectors(vectors, row + start) { $0 - origins })
      part[channels + channel] += Double(sumVectors(vectors, row + start) { ($0 - origins) * ($0 - origins) })
      for index in start + vectors..<start + count {
        let difference = Double(row[index] - origin)
        part[channel] += difference
        part[channels + channel] += difference * difference
      }
    }
  }

  func apply(_ factors: UnsafePointer<Float>, _ activation: Activation, to y: UnsafeMutablePointer<Float>) {
    if isChannelsLast {
      let norm = ChannelNormalization(factors: factors, channels: channels, activation: activation)
      workspace.parallelRanges(count: positions, grain: CPUBackend.rowGrain(channels)) { range in
        norm.apply(
          positions: range.count, x + range.lowerBound * channels, to: y + range.lowerBound * channels)
      }
      return
    }
    let (origins, scales, offsets) = (factors, factors + channels, factors + 2 * channels)
    let piece = 1 << 14
    let pieces = (positions + piece - 1) / piece
    workspace.parallelRanges(count: channels * pieces, grain: max(1, piece / positions)) { range in
      for index in range {
        let (channel, start) = (index / pieces, index % pieces * piece)
        let (origin, scale, offset) = (origins[channel], scales[channel], offsets[channel])
        let place = channel * positions + start
        activation.specialized { f in
          mapElements(min(piece, positions - start), x + place, to: y + place) {
            f(offset.addingProduct($0 - origin, scale))
          }
        }
      }
    }
  }
}
