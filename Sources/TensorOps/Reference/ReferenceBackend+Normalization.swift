public import TensorCore

extension ReferenceBackend {
  /// Biased variance, ε under the root.
  public func layerNorm(
    _ x: Tensor, weight: Weight?, bias: Weight?, scale: Tensor?, shift: Tensor?, epsilon: Float
  ) throws(BackendError) -> Tensor {
    precondition(x.shape.rank == 3, "layerNorm: expected [B, L, C], found \(x)")
    let (batch, tokens, channels) = (x.shape[0], x.shape[1], x.shape[2])
    for modulation in [scale, shift] {
      precondition(
        modulation?.shape ?? [batch, channels] == [batch, channels],
        "layerNorm: \(x) with a modulation \(modulation?.shape ?? []), expected [\(batch), \(channels)]")
    }
    var values = read(x, "layerNorm")
    let weights = try weight.map { w throws(BackendError) in try read(w, count: channels, "layerNorm") }
    let biases = try bias.map { b throws(BackendError) in try read(b, count: channels, "layerNorm") }
    let scales = scale.map { read($0, "layerNorm") }
    let shifts = shift.map { read($0, "layerNorm") }
    for row in 0..<batch * tokens {
      let (mean, deviation) = statistics(values[row * channels..<(row + 1) * channels], epsilon)
      let item = row / tokens
      for channel in 0..<channels {
        let index = row * channels + channel
        var y = (Double(values[index]) - mean) / deviation
        if let weights { y *= Double(weights[channel]) }
        if let biases { y += Double(biases[channel]) }
        if let scales { y *= 1 + Double(scales[item * channels + channel]) }
        if let shifts { y += Double(shifts[item * channels + channel]) }
        values[index] = Float(y)
      }
    }
    return Tensor(values, shape: x.shape)
  }

  /// The mean is that of the squares; nothing is subtracted.
  public func rmsNorm(_ x: Tensor, weight: Weight, epsilon: Float) throws(BackendError) -> Tensor {
    precondition(x.shape.rank > 0, "rmsNorm: expected […, C], found \(x)")
    let channels = x.shape.last
    var values = read(x, "rmsNorm")
    let weights = try read(weight, count: channels, "rmsNorm")
    for row in 0..<x.shape.rows {
      let size = rootMeanSquare(values[row * channels..<(row + 1) * channels], epsilon)
      for channel in 0..<channels {
        let index = row * channels + channel
        values[index] = Float(Double(values[index]) / size * Double(weights[channel]))
      }
    }
    return Tensor(values, shape: x.shape)
  }

  /// The norm of each head vector, then the rotation of its pairs.
  public func headNorm(
    _ x: Tensor, weight: Weight?, epsilon: Float, rotary: RotaryTable?
  ) throws(BackendError) -> Tensor {
    precondition(x.shape.rank == 4, "headNorm: expected [B, L, N, D], found \(x)")
    let (tokens, heads, size) = (x.shape[1], x.shape[2], x.shape[3])
    if let rotary {
      precondition(
        size % 2 == 0 && rotary.cosines.shape == [tokens, size / 2],
        "headNorm: \(x) with a rotary table \(rotary.cosines), expected [\(tokens), \(size) / 2]")
    }
    var values = read(x, "headNorm")
    let weights = try weight.map { w throws(BackendError) in try read(w, count: size, "headNorm") }
    let cosines = rotary.map { read($0.cosines, "headNorm") } ?? []
    let sines = rotary.map { read($0.sines, "headNorm") } ?? []
    for row in 0..<x.shape.rows {
      var vector = values[row * size..<(row + 1) * size].map { Double($0) }
      if let weights {
        let length = rootMeanSquare(values[row * size..<(row + 1) * size], epsilon)
        for channel in 0..<size { vector[channel] = vector[channel] / length * Double(weights[channel]) }
      }
      if let rotary {
        let token = row / heads % tokens
        for pair in 0..<size / 2 {
          let (first, second) = rotary.pairing == .interleaved ? (2 * pair, 2 * pair + 1) : (pair, pair + size / 2)
          let (a, b) = (vector[first], vector[second])
          let cosine = Double(cosines[token * (size / 2) + pair])
          let sine = Double(sines[token * (size / 2) + pair])
          vector[first] = a * cosine - b * sine
          vector[second] = b * cosine + a * sine
        }
      }
      for channel in 0..<size { values[row * size + channel] = Float(vector[channel]) }
    }
    return Tensor(values, shape: x.shape)
  }

  /// Statistics of a group over the whole clip, not frame by frame.
  public func groupNorm(
    _ x: Tensor, groups: Int, weight: Weight, bias: Weight, epsilon: Float, activation: Activation
  ) throws(BackendError) -> Tensor {
    precondition(x.shape.rank == 5, "groupNorm: expected [B, C, F, H, W], found \(x)")
    let (batch, channels) = (x.shape[0], x.shape[1])
    precondition(groups > 0 && channels % groups == 0, "groupNorm: \(x) does not divide into \(groups) groups")
    var values = read(x, "groupNorm")
    let weights = try read(weight, count: channels, "groupNorm")
    let biases = try read(bias, count: channels, "groupNorm")
    let positions = x.shape[2] * x.shape[3] * x.shape[4]
    let groupLength = channels / groups * positions
    for group in 0..<batch * groups {
      let elements = group * groupLength..<(group + 1) * groupLength
      let (mean, deviation) = statistics(values[elements], epsilon)
      for index in elements {
        let channel = index / positions % channels
        let y = (Double(values[index]) - mean) / deviation * Double(weights[channel]) + Double(biases[channel])
        values[index] = Float(activation.value(y))
      }
    }
    return Tensor(values, shape: x.shape)
  }

  /// Mean and `√(variance + ε)` with the variance divided by the number of elements.
  private func statistics(_ values: ArraySlice<Float>, _ epsilon: Float) -> (mean: Double, deviation: Double) {
    var sum = 0.0
    for value in values { sum += Double(value) }
    let mean = sum / Double(values.count)
    var squares = 0.0
    for value in values { squares += (Double(value) - mean) * (Double(value) - mean) }
    return (mean, (squares / Double(values.count) + Double(epsilon)).squareRoot())
  }

  private func rootMeanSquare(_ values: ArraySlice<Float>, _ epsilon: Float) -> Double {
    var squares = 0.0
    for value in values { squares += Double(value) * Double(value) }
    return (squares / Double(values.count) + Double(epsilon)).squareRoot()
  }
}
