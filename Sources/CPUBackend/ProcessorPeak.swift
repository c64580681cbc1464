import TensorCore
import TensorOps

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What the processor gives at most, on all threads of a backend together.
public struct ProcessorPeak: Sendable {
  /// Multiplications and additions per second in float32, each counted.
  public let operationsPerSecond: Double
  /// Bytes read from memory per second.
  public let bytesPerSecond: Double
}

extension CPUBackend {
  /// Measures the processor in about half a second: multiply-adds of registers in the instructions that the kernels were
  /// compiled for, and oneDNN's products of matrices that stay in a core's cache, which use wider registers where the
  /// processor has them; the larger of the two counts. Rates are those of processor time, so that other work on the
  /// machine lowers them little.
  public func measurePeak() -> ProcessorPeak {
    let bytes = max(32 << 20, (256 << 20) / threads)
    let memory = total { PeakLoops.reading(byteCount: bytes) }
    return ProcessorPeak(operationsPerSecond: measureOperations(slices: 15), bytesPerSecond: memory)
  }

  /// The operations alone, multiplications and additions per second: with few slices quick enough to be measured between the runs
  /// of a benchmark.
  public func measureOperations(slices: Int = 5) -> Double {
    let vectors = total { PeakLoops.median(slices: slices) { PeakLoops.multiplyAdds() } }
    return max(vectors, total { PeakLoops.products(slices: slices) })
  }

  /// The sum of what all threads reach at the same time.
  private func total(_ rate: () -> Double) -> Double {
    let rates = workspace.scratch(threads)
    defer { withExtendedLifetime(rates) {} }
    let values = rates.floats
    workspace.parallel(count: threads) { values[$0] = Float(rate()) }
    return (0..<threads).reduce(0) { $0 + Double(values[$1]) }
  }
}

/// What one thread does, over and over.
private enum PeakLoops {
  /// The median rate of equal pieces of work that return how much they did.
  static func median(slices: Int, _ work: () -> Double) -> Double {
    _ = work()
    var rates: [Double] = []
    for _ in 0..<slices {
      let start = processorSeconds()
      let amount = work()
      rates.append(amount / max(processorSeconds() - start, 1e-9))
    }
    return rates.sorted()[rates.count / 2]
  }

  private static func processorSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + 1e-9 * Double(time.tv_nsec)
  }

  /// Twelve independent chains hide the latency of an instruction. Returns the number of operations.
  static func multiplyAdds() -> Double {
    let repetitions = 1 << 20
    return chains(repetitions, 0.5, 1) == 0 ? 0 : Double(repetitions * 12 * Vector.scalarCount * 2)
  }

  @inline(never)
  private static func chains(_ repetitions: Int, _ factor: Float, _ addend: Float) -> Float {
    let (f, s) = (Vector(repeating: factor), Vector(repeating: addend))
    var (a, b, c, d) = (s, s + s, s * f, s - f)
    var (e, g, h, i) = (a + b, b + c, c + d, d + a)
    var (j, k, l, m) = (a - c, b - d, e - g, h - i)
    for _ in 0..<repetitions {
      a = s.addingProduct(a, f)
      b = s.addingProduct(b, f)
      c = s.addingProduct(c, f)
      d = s.addingProduct(d, f)
      e = s.addingProduct(e, f)
      g = s.addingProduct(g, f)
      h = s.addingProduct(h, f)
      i = s.addingProduct(i, f)
      j = s.addingProduct(j, f)
      k = s.addingProduct(k, f)
      l = s.addingProduct(l, f)
      m = s.addingProduct(m, f)
    }
    return ((a + b) + (c + d) + (e + g) + (h + i) + (j + k) + (l + m)).total
  }

  /// Operations per second of products whose three matrices fit a core's cache; 0 where oneDNN fails.
  static func products(slices: Int) -> Double {
    let size = 192
    return Scratch.with(count: 3 * size * size) { memory in
      memory.update(repeating: 1, count: 3 * size * size)
      let right = OneDNN.Factor(
        address: UnsafePointer(memory + size * size), rowStride: size, isTransposed: false)
      return median(slices: slices) {
        for _ in 0..<16 {
          do throws(BackendError) {
            try OneDNN.multiply(
              UnsafePointer(memory), rowStride: size, right, rows: size, columns: size, inner: size,
              into: memory + 2 * size * size, rowStride: size, "peak")
          } catch { return 0 }
        }
        return Double(16 * 2 * size * size * size)
      }
    }
  }

  /// Bytes per second of a sum over memory that no cache holds.
  static func reading(byteCount: Int) -> Double {
    let count = byteCount / 4
    return Scratch.with(count: count) { memory in
      memory.update(repeating: 1, count: count)
      return median(slices: 5) {
        sumVectors(count, UnsafePointer(memory)) { $0 } == 0 ? 0 : Double(byteCount)
      }
    }
  }
}
