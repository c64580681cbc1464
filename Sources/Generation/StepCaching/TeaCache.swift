import Collectives
public import HunyuanVideo
public import TensorCore
public import TensorOps

/// TeaCache as published: the change is measured from step to step, whether computed or not; the first and the last step are
/// computed.
///
/// Source: "Timestep Embedding Tells: It's Time to Cache for Video Diffusion Model" (arXiv 2411.19108) and its
/// `TeaCache4HunyuanVideo` script.
public final class TeaCache: AccumulatedChangeCache {
  public typealias Options = Parameters

  /// The polynomial that is published for HunyuanVideo.
  static let coefficients = [7.33226126e+02, -4.01131952e+02, 6.75869174e+01, -3.14987800e+00, 9.61237896e-02]

  public override func decide(
    step: Int, modulatedInput: () throws(BackendError) -> Tensor, on backend: any Backend
  ) throws(BackendError) -> StepDecision {
    let input = try modulatedInput()
    defer { reference = input }
    guard let reference, let residual, step > 0, step < steps - 1 else { return compute() }
    let change = try distance.relative(input, reference, over: reference, on: backend)
    return decision(adding: parameters.polynomial(at: change), reusing: residual)
  }
}
