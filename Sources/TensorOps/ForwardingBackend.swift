public import TensorCore

/// A backend whose operations are those of another, each with something round it: entries that are not written out go on.
public protocol ForwardingBackend: Backend {
  var base: any Backend { get }

  /// Does one operation of the other.
  func forwarding<Result>(_ operation: () throws(BackendError) -> Result) throws(BackendError) -> Result
}

// MARK: Not operations

extension ForwardingBackend {
  public var name: String { base.name }
  public var activationType: DType { base.activationType }
  public var addsWhileMultiplying: Bool { base.addsWhileMultiplying }
  public func synchronize() throws(BackendError) { try base.synchronize() }
  public func trim() { base.trim() }
}

// MARK: Moving data

extension ForwardingBackend {
  public func upload(_ tensor: Tensor) throws(BackendError) -> Tensor {
    try forwarding { () throws(BackendError) in try base.upload(tensor) }
  }

  public func download(_ tensor: Tensor) throws(BackendError) -> Tensor {
    try forwarding { () throws(BackendError) in try base.download(tensor) }
  }

  public func adopt(_ weight: Weight) throws(BackendError) -> Weight {
    try forwarding { () throws(BackendError) in try base.adopt(weight) }
  }
}

// MARK: Linear layers, normalization, attention

extension ForwardingBackend {
  public func linear(
    _ inputs: [Tensor], weight: Weight, bias: Weight?, activation: Activation
  ) throws(BackendError) -> Tensor {
    try forwarding { () throws(BackendError) in
      try base.linear(inputs, weight: weight, bias: bias, activation: activation)
    }
  }

  public func linear(
    _ inputs: [Tensor], weight: Weight, bias: Weight?, addedTo stream: ResidualStream
  ) throws(BackendError) -> Tensor {
    try forwarding { () throws(BackendError) in
      try base.linear(inputs, weight: weight, bias: bias, addedTo: stream)
    }
  }

  public func embedding(_ ids: Tensor, table: Weight) throws(BackendError) -> Tensor {
    try forwarding { () throws(BackendError) in try base.embedding(ids, table: table) }
  }

  public func layerNorm(
    _ x: Tensor, weight: Weight?, bias: Weight?, scale: Tensor?, shift: Tensor?, epsilon: Float
  ) throws(BackendError) -> Tensor {
    try forwarding { () throws(BackendError) in
      try base.layerNorm(x, weight: weight, bias: bias, scale: scale, shift: shift, epsilon: epsilon)
    }
  }

  public func rmsNorm(_ x: Tensor, weight: Weight, epsilon: Float) throws(BackendError) -> Tensor {
    try forwarding { () throws(BackendError) in try base.rmsNorm(x, weight: weight, epsilon: epsilon) }
  }

  public func headNorm(
    _ x: Tensor, weight: Weight?, epsilon: Float, rotary: RotaryTable?
  ) throws(BackendError) -> Tensor {
    try forwarding { () throws(BackendError) in
      try base.headNorm(x, weight: weight, epsilon: epsilon, rotary: rotary)
    }
  }

  public func groupNorm(
    _ x: Tensor, groups: Int, weight: Weight, bias: Weight, epsilon: Float, activation: Activation
  ) throws(BackendError) -> Tensor {
    try forwarding { () throws(BackendError) in
      try base.groupNorm(x, groups: groups, weight: weight, bias: bias, epsilon: epsilon, activation: activation)
    }
  }

  public func attention(
    queries: [Tensor], keyValues: [KeyValue], scale: Float, mask: AttentionMask, logSumExp: Bool
  ) throws(BackendError) -> [AttentionOutput] {
    try forwarding { () throws(BackendError) in
      try base.attention(queries: queries, keyValues: keyValues, scale: scale, mask: mask, logSumExp: logSumExp)
    }
  }

  public func merged(_ a: AttentionOutput, _ b: AttentionOutput) throws(BackendError) -> AttentionOutput {
    try forwarding { () throws(BackendError) in try base.merged(a, b) }
  }
}

// MARK: Convolution, elements, layout, reductions

extension ForwardingBackend {
  public func causalConvolution(
    _ x: Tensor, weight: Weight, bias: Weight?, upsampling: Upsampling, residual: Tensor?
  ) throws(BackendError) -> Tensor {
    try forwarding { () throws(BackendError) in
      try base.causalConvolution(x, weight: weight, bias: bias, upsampling: upsampling, residual: residual)
    }
  }

  public func causalConvolution(
    _ x: Tensor, after norm: GroupNormalization, weight: Weight, bias: Weight?, residual: Tensor?
  ) throws(BackendError) -> Tensor {
    try forwarding { () throws(BackendError) in
      try base.causalConvolution(x, after: norm, weight: weight, bias: bias, residual: residual)
    }
  }

  public func activate(_ x: Tensor, _ activation: Activation) throws(BackendError) -> Tensor {
    try forwarding { () throws(BackendError) in try base.activate(x, activation) }
  }

  public func gatedSiLU(gate: Tensor, _ x: Tensor) throws(BackendError) -> Tensor {
    try forwarding { () throws(BackendError) in try base.gatedSiLU(gate: gate, x) }
  }

  public func residual(_ x: Tensor, gate: Tensor?, _ y: Tensor) throws(BackendError) -> Tensor {
    try forwarding { () throws(BackendError) in try base.residual(x, gate: gate, y) }
  }

  public func combination(_ a: Float, _ x: Tensor, _ b: Float, _ y: Tensor) throws(BackendError) -> Tensor {
    try forwarding { () throws(BackendError) in try base.combination(a, x, b, y) }
  }

  public func contiguous(_ x: Tensor) throws(BackendError) -> Tensor {
    try forwarding { () throws(BackendError) in try base.contiguous(x) }
  }

  public func concatenate(_ tensors: [Tensor], axis: Int) throws(BackendError) -> Tensor {
    try forwarding { () throws(BackendError) in try base.concatenate(tensors, axis: axis) }
  }

  public func meanOverTokens(_ x: Tensor) throws(BackendError) -> Tensor {
    try forwarding { () throws(BackendError) in try base.meanOverTokens(x) }
  }

  public func absoluteSum(_ x: Tensor, minus y: Tensor?) throws(BackendError) -> Double {
    try forwarding { () throws(BackendError) in try base.absoluteSum(x, minus: y) }
  }

  public func isFinite(_ x: Tensor) throws(BackendError) -> Bool {
    try forwarding { () throws(BackendError) in try base.isFinite(x) }
  }
}
