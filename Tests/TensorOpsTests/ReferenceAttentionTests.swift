import Foundation
import TensorCore
import TensorOps
import TensorTesting
import Testing

@Suite struct ReferenceAttentionTests {
  let backend = ReferenceBackend()

  /// One batch item, one head, vectors of one number.
  private func tokens(_ values: [Float]) -> Tensor { Tensor(values, shape: [1, values.count, 1, 1]) }

  private func attend(
    _ queries: [Tensor], _ keyValues: [KeyValue], _ mask: AttentionMask = .none
  ) throws -> [AttentionOutput] {
    try backend.attention(queries: queries, keyValues: keyValues, scale: 1, mask: mask, logSumExp: true)
  }

  @Test func `results over disjoint keys merge by their logarithms`() throws {
    // A key with score 0 and value 1, and one with score ln 3 and value 3.
    let query = tokens([1])
    let first = KeyValue(key: tokens([0]), value: tokens([1]))
    let second = KeyValue(key: tokens([Float(log(3.0))]), value: tokens([3]))
    let a = try attend([query], [first])[0]
    let b = try attend([query], [second])[0]
    let both = try attend([query], [first, second])[0]
    let (o, l) = (Double(a.values.floats()[0]), Double(try #require(a.logSumExp).floats()[0]))
    let (p, m) = (Double(b.values.floats()[0]), Double(try #require(b.logSumExp).floats()[0]))
    #expect(o == 1 && l == 0 && p == 3)
    let merged = log(exp(l) + exp(m))
    #expect(abs(merged - log(4.0)) < 1e-7)
    #expect(abs(exp(l - merged) * o + exp(m - merged) * p - 2.5) < 1e-7)
    #expect(abs(both.values.floats()[0] - 2.5) < 1e-6)
    #expect(abs(Double(try #require(both.logSumExp).floats()[0]) - log(4.0)) < 1e-7)
  }

  @Test func `scores are multiplied by the scale`() throws {
    let output = try backend.attention(
      queries: [tokens([2])], keyValues: [KeyValue(key: tokens([0, 5]), value: tokens([0, 1]))], scale: 0.1,
      mask: .none, logSumExp: false)[0]
    #expect(abs(Double(output.values.floats()[0]) - exp(1.0) / (1 + exp(1.0))) < 1e-7)
    #expect(output.logSumExp == nil)
  }

  @Test func `large scores overflow nothing`() throws {
    let output = try attend([tokens([1000])], [KeyValue(key: tokens([1, 1, -1]), value: tokens([2, 4, 9]))])[0]
    #expect(output.values.floats() == [3])
    #expect(abs(try #require(output.logSumExp).floats()[0] - 1000.693_1) < 1e-3)
  }

  @Test func `causal attention sees earlier tokens and itself`() throws {
    let zeros = tokens([0, 0, 0, 0])
    let output = try attend([zeros], [KeyValue(key: zeros, value: tokens([2, 4, 6, 8]))], .causal)[0]
    #expect(output.values.floats() == [2, 3, 4, 5])
  }

  @Test func `attention causal by frame sees the whole of its own frame and of earlier ones`() throws {
    let zeros = tokens([Float](repeating: 0, count: 12))
    let values = tokens((0..<12).map { Float($0) })
    let output = try attend([zeros], [KeyValue(key: zeros, value: values)], AttentionMask(causalBlock: 4))[0]
    // Means of 0…3, 0…7, 0…11.
    let expected: [Float] = [1.5, 1.5, 1.5, 1.5, 3.5, 3.5, 3.5, 3.5, 5.5, 5.5, 5.5, 5.5]
    expectClose(output.values, tokens(expected), relative: 1e-7, "frames")
  }

  @Test func `lists count as one sequence for keys, queries and masks`() throws {
    let (zeros, values) = (tokens([0, 0, 0, 0]), tokens([2, 4, 6, 8]))
    let whole = try attend([zeros], [KeyValue(key: zeros, value: values)], .causal)[0]
    let parts = try attend(
      [zeros.slice(1, 0..<1), zeros.slice(1, 1..<4)],
      [
        KeyValue(key: zeros.slice(1, 0..<3), value: values.slice(1, 0..<3)),
        KeyValue(key: zeros.slice(1, 3..<4), value: values.slice(1, 3..<4)),
      ], .causal)
    #expect(parts.count == 2)
    #expect(parts[0].values.floats() + parts[1].values.floats() == whole.values.floats())
  }

  @Test func `keys beyond the valid ones are not seen, whatever they hold`() throws {
    let queries = Tensor([0, 0] as [Float], shape: [2, 1, 1, 1])
    let keys = Tensor([0, 0, .nan, 0, .nan, .nan], shape: [2, 3, 1, 1])
    let values = Tensor([2, 4, .infinity, 5, .nan, .nan], shape: [2, 3, 1, 1])
    let output = try attend([queries], [KeyValue(key: keys, value: values)], AttentionMask(validKeys: [2, 1]))[0]
    #expect(output.values.floats() == [3, 5])
  }

  @Test func `a query that sees no key gives zeros and minus infinity`() throws {
    let queries = Tensor([1, 1] as [Float], shape: [2, 1, 1, 1])
    let keys = Tensor([1, 2, 0, 0] as [Float], shape: [2, 2, 1, 1])
    let output = try attend([queries], [KeyValue(key: keys, value: keys)], AttentionMask(validKeys: [0, 2]))[0]
    #expect(output.values.floats() == [0, 0])
    let logarithms = try #require(output.logSumExp)
    #expect(logarithms.shape == [2, 1, 1])
    #expect(logarithms.floats() == [-.infinity, Float(log(2.0))])
  }

  @Test func `a NaN among the seen keys stays one`() throws {
    let output = try attend([tokens([1])], [KeyValue(key: tokens([.nan, .nan]), value: tokens([1, 2]))])[0]
    #expect(output.values.floats()[0].isNaN)
  }

  @Test func `neighbouring query heads share a key head`() throws {
    let query = Tensor(repeating: 0, shape: [1, 1, 4, 1])
    let value = Tensor([10, 20] as [Float], shape: [1, 1, 2, 1])
    let output = try attend([query], [KeyValue(key: value, value: value)])[0]
    #expect(output.values.shape == [1, 1, 4, 1])
    #expect(output.values.floats() == [10, 10, 20, 20])
  }

  @Test func `logarithms are ordered by head, then token`() throws {
    let query = Tensor([0, 1, 0, 2] as [Float], shape: [1, 2, 2, 1])
    let key = Tensor([1, 3] as [Float], shape: [1, 1, 2, 1])
    let output = try attend([query], [KeyValue(key: key, value: key)])[0]
    #expect(try #require(output.logSumExp).shape == [1, 2, 2])
    #expect(try #require(output.logSumExp).floats() == [0, 0, 3, 6])
  }

  @Test(arguments: [(nil, nil), (1, nil), (4, nil), (4, [9]), (7, [5]), (nil, [3, 0])] as [(Int?, [Int]?)])
  func `a mask counts the pairs of a query and a key that it sees`(_ causalBlock: Int?, _ validKeys: [Int]?) {
    let mask = AttentionMask(causalBlock: causalBlock, validKeys: validKeys)
    let (batch, count) = (validKeys?.count ?? 1, 11)
    var pairs = 0
    for item in 0..<batch {
      for query in 0..<count {
        for key in 0..<count where key < validKeys?[item] ?? count {
          if let causalBlock, key / causalBlock > query / causalBlock { continue }
          pairs += 1
        }
      }
    }
    #expect(mask.pairs(batch: batch, queries: count, keys: count) == Double(pairs))
  }
}
