public import TensorCore

/// A device that computes. The list of operations is closed and coarse, so that an accelerator maps each entry to one
/// fused kernel; what a network needs is here or is a view of a tensor.
///
/// Operations return new tensors of the activation type and may be asynchronous: results are ready when `download`
/// returns. Inputs may be strided views as long as the last axis is dense, unless the text says contiguous. Shapes that
/// do not fit are programming errors and trap.
///
/// Letters in shapes: `B` batch, `F` frames, `H`/`W` height and width, `L` tokens, `C` channels, `N` heads, `D` head
/// dimension. "Becomes" names the call of CANN's operator library that the entry is on an Ascend NPU, with the limits
/// that shaped the entry.
public protocol Backend: Sendable {
  /// For messages: `cpu`, `reference`, …
  var name: String { get }

  /// The type of activations: what `upload` converts to and operations return.
  var activationType: DType { get }

  // MARK: Moving data

  /// Copies a floating-point host tensor to the device in the activation type; a dense one that another backend has put on the
  /// same device is converted there. Identity where nothing has to change.
  ///
  /// Becomes `aclrtMemcpyAsync` from pinned memory, then `aclnnCast`.
  func upload(_ tensor: Tensor) throws(BackendError) -> Tensor

  /// Waits for a tensor and returns it as contiguous float32 host memory.
  ///
  /// Becomes `aclnnCast`, `aclrtMemcpyAsync` and `aclrtSynchronizeStream`.
  func download(_ tensor: Tensor) throws(BackendError) -> Tensor

  /// Takes a parameter into the form in which operations want it, once, when a network is built.
  ///
  /// Becomes a device allocation and `aclrtMemcpyAsync`; types that the device cannot hold are widened to bfloat16.
  func adopt(_ weight: Weight) throws(BackendError) -> Weight

  // MARK: Linear layers

  /// `activation(concat(inputs) · weightᵀ + bias)`. The inputs `[…, Cᵢ]` are the parts of one row along the last axis;
  /// weight `[outputs, ΣCᵢ]`, bias `[outputs]`. Result `[…, outputs]`.
  ///
  /// Becomes `aclnnAddmm` on matrices (`weightᵀ` is a transposed view; bias one-dimensional; bfloat16 is not mixed with
  /// other types), `aclnnCat` before it where there is more than one input, `aclnnGeluV2`/`aclnnSilu` after it.
  func linear(_ inputs: [Tensor], weight: Weight, bias: Weight?, activation: Activation) throws(BackendError) -> Tensor

  /// `x + gate · (concat(inputs) · weightᵀ + bias)`, what ends most modules: `linear` without an activation, whose result has the shape
  /// of the stream that it is added to. A device that adds while it multiplies never holds the result by itself.
  ///
  /// Becomes the calls of `linear` and `residual`.
  func linear(
    _ inputs: [Tensor], weight: Weight, bias: Weight?, addedTo stream: ResidualStream
  ) throws(BackendError) -> Tensor

  /// Whether it adds while it multiplies. Where it does not, the inputs, often four times as large as the result, are still held while
  /// it adds: whoever can gives them up before.
  var addsWhileMultiplying: Bool { get }

  /// Rows of a table `[vocabulary, C]` for `ids` (int32 host tensor `[…]`). Result `[…, C]`.
  ///
  /// Becomes `aclnnEmbedding`, which does not check the upper end of indices: the caller has.
  func embedding(_ ids: Tensor, table: Weight) throws(BackendError) -> Tensor

  // MARK: Normalization and modulation

  /// Layer normalization over the last axis of `[B, L, C]`: `norm(x) · weight + bias`, then, where given,
  /// `· (1 + scale) + shift` with `scale` and `shift` `[B, C]`.
  ///
  /// Becomes `aclnnAdaLayerNorm` (from CANN 8.5; all one type) or `aclnnLayerNorm`, `aclnnMul`, `aclnnAdd`.
  func layerNorm(
    _ x: Tensor, weight: Weight?, bias: Weight?, scale: Tensor?, shift: Tensor?, epsilon: Float
  ) throws(BackendError) -> Tensor

  /// `x / √(mean(x²) + ε) · weight` over the last axis, weight `[C]`.
  ///
  /// Becomes `aclnnRmsNorm` (statistics in float32; the reciprocal deviations must be given room).
  func rmsNorm(_ x: Tensor, weight: Weight, epsilon: Float) throws(BackendError) -> Tensor

  /// Queries or keys in one pass: RMS normalization over the head dimension where `weight` (`[D]`) is given, then rotation by
  /// position where `rotary` is given. `x` `[B, L, N, D]`, a view into a fused projection; result contiguous.
  ///
  /// Becomes `aclnnRmsNorm` and `aclnnRotaryPositionEmbedding` (mode 0 half, 1 interleave; rank 4, D even and below
  /// 896, B·N below 1000, cosines in the form `[1, L, 1, D]`, each repeated twice).
  func headNorm(_ x: Tensor, weight: Weight?, epsilon: Float, rotary: RotaryTable?) throws(BackendError) -> Tensor

  /// Group normalization of `[B, C, F, H, W]` with statistics over a group's channels and all positions, then the
  /// activation. weight and bias `[C]`.
  ///
  /// Becomes `aclnnGroupNormSiluV2`, or `aclnnGroupNormSilu` before CANN 8.5 (every extent above zero).
  func groupNorm(
    _ x: Tensor, groups: Int, weight: Weight, bias: Weight, epsilon: Float, activation: Activation
  ) throws(BackendError) -> Tensor

  // MARK: Attention

  /// Scaled dot-product attention of each tensor of queries `[B, Lq, N, D]` over all tokens of the list of keys and
  /// values `[B, Lk, Nkv, D]`, which count as one sequence in list order, as do the queries for the mask. `N` is a
  /// multiple of `Nkv`: query head `n` uses key head `n / (N / Nkv)`. One output per query tensor.
  ///
  /// Becomes `aclnnFusedInferAttentionScoreV2` on contiguous BNSD (D a multiple of 16 up to 512, N up to 256, key lists of
  /// length one, so lists are joined first; the logarithms cost the faster tiling and are asked for only by the ring).
  func attention(
    queries: [Tensor], keyValues: [KeyValue], scale: Float, mask: AttentionMask, logSumExp: Bool
  ) throws(BackendError) -> [AttentionOutput]

  /// Joins attention of the same queries over two disjoint sets of keys, exactly: both outputs with their logarithms.
  ///
  /// Becomes `aclnnRingAttentionUpdate` (float32 statistics), or `aclnnExp`, `aclnnMul` and `aclnnAdd`.
  func merged(_ a: AttentionOutput, _ b: AttentionOutput) throws(BackendError) -> AttentionOutput

  // MARK: Convolution

  /// Causal 3-D convolution of `[B, C, F, H, W]` with stride 1: the border is replicated, `k/2` on both sides of height and width, `k - 1`
  /// in front of time only. weight `[O, C, k, k, k]`, bias `[O]`. Where `upsampling` is given the input is first enlarged by
  /// repetition; where `residual` is given it is added to the result `[B, O, F', H', W']`.
  ///
  /// Becomes `aclnnReplicationPad3d` (or copies: padding must be below the extent) and `aclnnConvolution` in NCDHW
  /// (16-bit types; float32 only as HF32; each extent up to 1,000,000), `aclnnUpsampleNearest3d` before and `aclnnAdd` after.
  func causalConvolution(
    _ x: Tensor, weight: Weight, bias: Weight?, upsampling: Upsampling, residual: Tensor?
  ) throws(BackendError) -> Tensor

  /// `causalConvolution` of what `groupNorm` makes of `x`. The normalized clip is as large as `x`; a device that normalizes while it
  /// reads never holds it.
  ///
  /// Becomes the calls of both.
  func causalConvolution(
    _ x: Tensor, after norm: GroupNormalization, weight: Weight, bias: Weight?, residual: Tensor?
  ) throws(BackendError) -> Tensor

  // MARK: Elementwise

  /// Becomes `aclnnSilu`, `aclnnGeluV2` (1 = tanh), `aclnnFastGelu`.
  func activate(_ x: Tensor, _ activation: Activation) throws(BackendError) -> Tensor

  /// `silu(gate) · x`, the gated unit of LLaMA's MLP.
  ///
  /// Becomes `aclnnSwiGlu` on a joined tensor, or `aclnnSilu` and `aclnnMul`.
  func gatedSiLU(gate: Tensor, _ x: Tensor) throws(BackendError) -> Tensor

  /// `x + gate · y` with `x`, `y` `[B, L, C]` and `gate` `[B, C]`; without a gate, `x + y` for tensors of any one shape.
  ///
  /// Becomes `aclnnAddcmul` with the gate as `[B, 1, C]`, or `aclnnAdd`.
  func residual(_ x: Tensor, gate: Tensor?, _ y: Tensor) throws(BackendError) -> Tensor

  /// `a · x + b · y`, elementwise: the sampler's update, guidance and the caches' extrapolation.
  ///
  /// Becomes `aclnnMuls` and `aclnnAdd` with its alpha.
  func combination(_ a: Float, _ x: Tensor, _ b: Float, _ y: Tensor) throws(BackendError) -> Tensor

  // MARK: Layout

  /// The elements in row-major order without gaps: identity where they already are, a copy elsewhere. Any strides.
  ///
  /// Becomes `aclnnInplaceCopy` into a new tensor.
  func contiguous(_ x: Tensor) throws(BackendError) -> Tensor

  /// Joins tensors along an axis.
  ///
  /// Becomes `aclnnCat` (lists of up to 32).
  func concatenate(_ tensors: [Tensor], axis: Int) throws(BackendError) -> Tensor

  // MARK: Reductions that the host waits for

  /// Mean over axis 1 of `[B, L, C]`, result `[B, C]`.
  ///
  /// Becomes `aclnnMean`.
  func meanOverTokens(_ x: Tensor) throws(BackendError) -> Tensor

  /// `Σ|x|`, or `Σ|x - y|` where `y` is given, over all elements: numerators and denominators of the caches' distances.
  ///
  /// Becomes `aclnnSub`, `aclnnAbs`, `aclnnReduceSum` and a copy of one number.
  func absoluteSum(_ x: Tensor, minus y: Tensor?) throws(BackendError) -> Double

  /// Whether no element is NaN or infinite.
  ///
  /// Becomes `aclnnIsFinite`, `aclnnAll` and a copy of one byte.
  func isFinite(_ x: Tensor) throws(BackendError) -> Bool

  // MARK: Between operations

  /// Waits until everything asked for so far is done: for clocks alone, since `download` waits by itself.
  ///
  /// Becomes `aclrtSynchronizeStream`.
  func synchronize() throws(BackendError)

  /// Gives memory that is kept for reuse and that no tensor has back to the system: the next operations have other sizes.
  ///
  /// Becomes `aclrtFree`.
  func trim()
}

/// Devices whose operations are done when they return, and that keep no memory of their own.
extension Backend {
  public func synchronize() throws(BackendError) {}
  public func trim() {}
}

extension Backend {
  /// No: see below.
  public var addsWhileMultiplying: Bool { false }

  /// One operation after the other.
  public func linear(
    _ inputs: [Tensor], weight: Weight, bias: Weight?, addedTo stream: ResidualStream
  ) throws(BackendError) -> Tensor {
    try residual(stream.x, gate: stream.gate, linear(inputs, weight: weight, bias: bias, activation: .none))
  }

  /// One operation after the other.
  public func causalConvolution(
    _ x: Tensor, after norm: GroupNormalization, weight: Weight, bias: Weight?, residual: Tensor?
  ) throws(BackendError) -> Tensor {
    try causalConvolution(
      groupNorm(x, norm), weight: weight, bias: bias, upsampling: .none, residual: residual)
  }

  /// `groupNorm` with its parameters in one.
  public func groupNorm(_ x: Tensor, _ norm: GroupNormalization) throws(BackendError) -> Tensor {
    try groupNorm(
      x, groups: norm.groups, weight: norm.weight, bias: norm.bias, epsilon: norm.epsilon, activation: norm.activation)
  }
}
