import HunyuanVideo
import TensorCore
import Testing

@Suite struct OperationCountTests {
  @Test func `a step of 129 frames at 720 by 1280 is 12 quadrillion operations`() {
    let operations = TransformerConfiguration().operationsPerStep(tokens: 118_800, textTokens: 256)
    // 1.62e15 in linear layers, 10.45e15 in attention.
    #expect(abs(operations / 12.07e15 - 1) < 0.01)
  }

  @Test func `a decoder without enlargement costs the sum of its convolutions`() {
    var configuration = AutoencoderConfiguration()
    configuration.blockChannels = [1]
    configuration.layersPerBlock = 0
    configuration.latentChannels = 1
    configuration.outputChannels = 1
    configuration.spatialCompression = 1
    configuration.timeCompression = 1
    configuration.hasMidBlockAttention = false
    // Eight convolutions with 27 taps (in, three blocks of two, out) and one with one.
    let operations = configuration.decoderOperations(latents: [2, 1, 3, 4, 5])
    #expect(operations == Double(2 * 2 * 60 * (8 * 27 + 1)))
  }
}
