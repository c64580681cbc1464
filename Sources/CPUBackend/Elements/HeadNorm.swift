public import TensorCore
public import TensorOps

extension CPUBackend {
  /// Normalization and rotation of each head vector in one pass, from wherever it is in a fused projection.
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
    let input = rows(x, "headNorm")
    let weights = try weight.map { (weight) throws(BackendError) in
      try workspace.widened(weight, count: size, "headNorm")
    }
    let table = rotary.map { (rows($0.cosines, "headNorm"), rows($0.sines, "headNorm")) }
    let result = workspace.tensor(x.shape)
    let values = result.floats
    workspace.note(
      .headNorm, [x.shape[0] * tokens, heads, size, rotary == nil ? 0 : 1], [weight],
      reads: x.byteCount + (rotary.map { 2 * $0.cosines.byteCount } ?? 0), writes: result.byteCount)
    let grain = CPUBackend.rowGrain(heads * size)
    workspace.parallelRanges(count: x.shape[0] * tokens, grain: grain, scratch: 2 * size) { range, factors in
      let rotation = rotary.map { Rotation(size: size, pairing: $0.pairing, memory: factors) }
      for token in range {
        if let (cosines, sines) = table {
          let position = token % tokens
          rotation?.load(cosines: cosines.row(position), sines: sines.row(position))
        }
        for head in 0..<heads {
          let row = token * heads + head
          let x = UnsafePointer(input.row(row))
          let y = values + row * size
          if let weights {
            let factor = CPUBackend.inverseRootMeanSquare(x, size, epsilon)
            mapElements(size, x, UnsafePointer(weights.floats), to: y) { $0 * factor * $1 }
          } else {
            y.update(from: x, count: size)
          }
          rotation?.rotate(y)
        }
      }
    }
    return result
  }
}

/// The rotation of a token's head vectors: factors for every channel, shared by all heads.
private struct Rotation {
  let size: Int
  let pairing: RotaryTable.Pairing
  /// What a channel is multiplied with, and what its partner is, sign included.
  let own: UnsafeMutablePointer<Float>
  let partner: UnsafeMutablePointer<Float>

  init(size: Int, pairing: RotaryTable.Pairing, memory: UnsafeMutablePointer<Float>) {
    self.size = size
    self.pairing = pairing
    own = memory
    partner = memory + size
  }

  func load(cosines: UnsafePointer<Float>, sines: UnsafePointer<Float>) {
    for pair in 0..<size / 2 {
      let (first, second) = pairing == .interleaved ? (2 * pair, 2 * pair + 1) : (pair, pair + size / 2)
      (own[first], own[second]) = (cosines[pair], cosines[pair])
      (partner[first], partner[second]) = (-sines[pair], sines[pair])
    }
  }

  func rotate(_ x: UnsafeMutablePointer<Float>) {
    switch pairing {
    case .interleaved: rotateNeighbours(x)
    case .halves: rotateHalves(x)
    }
  }

  private func rotateNeighbours(_ x: UnsafeMutablePointer<Float>) {
    var index = 0
    while index + 8 <= size {
      let values = Vector(x + index)
      var swapped = values
      swapped.evenHalf = values.oddHalf
      swapped.oddHalf = values.evenHalf
      (values * Vector(own + index)).addingProduct(swapped, Vector(partner + index)).store(to: x + index)
      index += 8
    }
    while index < size {
      let (a, b) = (x[index], x[index + 1])
      x[index] = a * own[index] + b * partner[index]
      x[index + 1] = b * own[index + 1] + a * partner[index + 1]
      index += 2
    }
  }

  private func rotateHalves(_ x: UnsafeMutablePointer<Float>) {
    let half = size / 2
    let y = x + half
    for index in 0..<half {
      let (a, b) = (x[index], y[index])
      x[index] = a * own[index] + b * partner[index]
      y[index] = b * own[half + index] + a * partner[half + index]
    }
  }
}
