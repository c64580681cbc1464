import TensorOps

extension PlannedOperation {
  /// A number that the time grows with: operations, or elements for what is bound by memory.
  var amount: Double {
    func product(_ indices: [Int]) -> Double { indices.reduce(1) { $0 * Double(max(extents[$1], 1)) } }
    switch kind {
    case .linear: return product([0, 1, 2])
    case .attention:
      let block = extents[6]
      var seen = 1.0
      if block > 0, extents[4] == extents[5] {
        let blocks = Double((extents[4] + block - 1) / block)
        seen = (blocks + 1) / (2 * blocks)
      }
      return product([0, 1, 3, 4, 5]) * seen
    case .convolution:
      // Frames after the first are repeated.
      let frames = max(Double(extents[4] - 1) * Double(extents[7]) + 1, 1)
      return product([0, 1, 2, 2, 2, 3, 5, 6, 8, 8]) * frames
    case .groupNorm: return product([0, 1, 2])
    case .headNorm, .merged: return product([0, 1, 2])
    case .layerNorm, .rmsNorm, .gatedResidual, .meanOverTokens, .embedding: return product([0, 1])
    case .activate, .gatedSiLU, .residual, .combination, .isFinite, .absoluteSum, .copy: return product([0])
    case .kernel: return Double(extents[0] + extents[1])
    }
  }

  /// The same operation with fewer repetitions, small enough to be timed: the extents that decide its rate stay. The times of
  /// both are as their amounts.
  var probe: PlannedOperation {
    var e = extents
    /// Makes an extent smaller, but not below `least`, until the amount is at most `most`.
    func shrink(_ index: Int, to most: Double, least: Int, multipleOf step: Int = 1) {
      let amount = PlannedOperation(kind, e, format: format).amount
      guard amount > most, e[index] > least else { return }
      let wanted = Int(Double(e[index]) * most / amount) / step * step
      e[index] = min(max(wanted, least), e[index])
    }
    let (products, elements) = (1.5e9, 4e6)
    switch kind {
    case .linear:
      shrink(0, to: products, least: 1536)
      shrink(2, to: products, least: 1024, multipleOf: 512)
      shrink(0, to: products, least: 512)
    case .attention:
      if e[6] > 0, PlannedOperation(kind, e, format: format).amount > products { e[6] = 0 }
      shrink(5, to: products, least: 2048, multipleOf: 512)
      shrink(4, to: products, least: 1024, multipleOf: 512)
      let group = max(e[1] / max(e[2], 1), 1)
      shrink(1, to: products, least: min(e[1], max(group, 4) / group * group), multipleOf: group)
      e[2] = max(e[1] / group, 1)
    case .convolution:
      shrink(4, to: products, least: 8)
      shrink(5, to: products, least: 16)
      shrink(4, to: products, least: 2)
    case .groupNorm: shrink(2, to: elements, least: 1)
    case .headNorm, .merged, .layerNorm, .rmsNorm, .gatedResidual, .meanOverTokens, .embedding:
      shrink(0, to: elements, least: 1)
    case .copy: shrink(0, to: elements, least: max(e[1], 1), multipleOf: max(e[1], 1))
    case .activate, .gatedSiLU, .residual, .combination, .isFinite, .absoluteSum: shrink(0, to: elements, least: 1)
    case .kernel: break
    }
    return PlannedOperation(kind, e, format: format)
  }
}
