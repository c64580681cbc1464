extension TransformerConfiguration {
  /// Multiplications and additions of one step, each counted: linear layers and the two products of attention. What is
  /// computed once for all steps (modulation, text refiner) is not part of it.
  /// - Parameters:
  ///   - tokens: video tokens.
  ///   - textTokens: valid text tokens.
  public func operationsPerStep(tokens: Int, textTokens: Int) -> Double {
    let total = Double(tokens + textTokens)
    let (channels, hidden) = (Double(hiddenSize), Double(mlpHiddenSize))
    let attention = 4 * total * total * channels
    // Queries, keys, values and the output projection, then the MLP; the same in both kinds of block.
    let block = 2 * total * channels * (4 * channels + 2 * hidden) + attention
    let ends = 2 * Double(tokens * patchVolume * (inputChannels + outputChannels)) * channels
    return block * Double(doubleBlockCount + singleBlockCount) + ends
  }

  /// Multiplications and additions, each counted, of the blocks' modulation for all steps. The first step does them.
  public func modulationOperations(steps: Int) -> Double {
    let vectors = Double(2 * 6 * doubleBlockCount + 3 * singleBlockCount)
    return 2 * Double(steps) * Double(hiddenSize) * Double(hiddenSize) * vectors
  }
}
