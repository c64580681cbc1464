public import TensorCore
public import TensorOps

extension CPUBackend {
  /// Mean over the tokens of each channel, in double precision over blocks of tokens.
  public func meanOverTokens(_ x: Tensor) throws(BackendError) -> Tensor {
    precondition(x.shape.rank == 3 && x.shape[1] > 0, "meanOverTokens: expected [B, L, C], found \(x)")
    let (tokens, width) = (x.shape[1], x.shape[2])
    let input = rows(x, "meanOverTokens")
    let result = workspace.tensor([x.shape[0], width])
    let values = result.floats
    workspace.note(.meanOverTokens, [input.count, input.width], reads: x.byteCount, writes: result.byteCount)
    let block = 64
    let blocks = (width + block - 1) / block
    workspace.parallelRanges(count: x.shape[0] * blocks, grain: max(1, CPUBackend.elementGrain / (tokens * block))) {
      range in
      for index in range {
        let (item, first) = (index / blocks, index % blocks * block)
        let count = min(block, width - first)
        var sums = [Double](repeating: 0, count: count)
        for token in 0..<tokens {
          let row = input.row(item * tokens + token) + first
          for channel in 0..<count { sums[channel] += Double(row[channel]) }
        }
        for channel in 0..<count { values[item * width + first + channel] = Float(sums[channel] / Double(tokens)) }
      }
    }
    return result
  }

  /// `Σ|x|` or `Σ|x - y|`: float32 within short runs, double precision beyond.
  public func absoluteSum(_ x: Tensor, minus y: Tensor?) throws(BackendError) -> Double {
    guard let y else { return summed(x, nil, .absoluteSum) { x, _ in x.magnitudes } }
    return summed(x, y, .absoluteSum) { ($0 - $1).magnitudes }
  }

  /// Whether every element is a number: zero times anything else is not zero.
  public func isFinite(_ x: Tensor) throws(BackendError) -> Bool {
    summed(x, nil, .isFinite) { x, _ in x * Vector.zero } == 0
  }

  /// `Σ f(x, y)` over all elements of two tensors of one shape, in an order that does not depend on the threads. Without `y`, `x`
  /// is both.
  @inline(__always)
  private func summed(
    _ x: Tensor, _ y: Tensor?, _ kind: PlannedOperation.Kind, _ f: (Vector, Vector) -> Vector
  ) -> Double {
    let operation = kind.rawValue
    x.requireFloat32(operation)
    y?.requireFloat32(operation)
    precondition(y?.shape ?? x.shape == x.shape, "\(operation): \(x) and \(y?.shape ?? []) differ in shape")
    workspace.note(kind, [x.count], reads: x.byteCount + (y?.byteCount ?? 0), writes: 0)
    let first = x.isDense ? x : copied(x)
    let second = y.map { arranged($0, like: first) } ?? first
    let run = 1 << 16
    var parts = [Double](repeating: 0, count: (x.count + run - 1) / run)
    let (a, b) = (UnsafePointer(first.floats), UnsafePointer(second.floats))
    withExtendedLifetime((first, second)) {
      parts.withUnsafeMutableBufferPointer { parts in
        let parts = parts
        workspace.parallel(count: parts.count) { index in
          parts[index] = CPUBackend.sum(index * run..<min((index + 1) * run, x.count), a, b, f)
        }
      }
    }
    return parts.reduce(0, +)
  }

  @inline(__always)
  private static func sum(
    _ range: Range<Int>, _ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>, _ f: (Vector, Vector) -> Vector
  ) -> Double {
    var total = 0.0
    var index = range.lowerBound
    while index < range.upperBound {
      let end = min(index + 1024, range.upperBound)
      var (a, b) = (Vector.zero, Vector.zero)
      while index + 16 <= end {
        a += f(Vector(x + index), Vector(y + index))
        b += f(Vector(x + index + 8), Vector(y + index + 8))
        index += 16
      }
      while index < end {
        let count = min(8, end - index)
        a += f(Vector(x + index, count: count), Vector(y + index, count: count))
        index += count
      }
      total += Double((a + b).total)
    }
    return total
  }
}
