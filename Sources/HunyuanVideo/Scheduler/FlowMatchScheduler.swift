import TensorCore

/// Noise levels of flow matching and the Euler step along them.
///
/// Reference: `hyvideo/diffusion/schedulers/scheduling_flow_match_discrete.py`, `FlowMatchDiscreteScheduler`. At level `s` the
/// latents are `s · noise + (1 - s) · data` and the network predicts `noise - data`.
public struct FlowMatchScheduler: Sendable, Hashable {
  /// `steps + 1` levels. With `reverse` (the way the published weights were trained) from 1 down to exactly 0.
  public let sigmas: [Float]

  /// - Parameters:
  ///   - steps: the number of network evaluations, at least 1.
  ///   - shift: above 1 spends more steps at high noise: `shift · u / (1 + (shift - 1) · u)`.
  ///   - reverse: false runs from 0 to 1, which the published weights do not support.
  public init(steps: Int, shift: Float, reverse: Bool = true) {
    precondition(steps >= 1, "scheduler: \(steps) steps")
    sigmas = (0...steps).map { step in
      let u = 1 - Float(step) / Float(steps)
      let sigma = shift * u / (1 + (shift - 1) * u)
      return reverse ? sigma : 1 - sigma
    }
  }

  public var stepCount: Int { sigmas.count - 1 }

  /// What the network is given at each step: `1000 · sigma`.
  public var timesteps: [Float] { sigmas.dropLast().map { $0 * 1000 } }

  /// The signed length of a step: `x ← x + velocity · stepSize`.
  public func stepSize(_ step: Int) -> Float { sigmas[step + 1] - sigmas[step] }
}

/// The embedded guidance scale as the network was used with it: the scale and the product are bfloat16 numbers, so 6.0
/// enters as 6016. Reference: `hyvideo/diffusion/pipelines/pipeline_hunyuan_video.py`, `guidance_expand`.
public func guidanceInput(scale: Float) -> Float { Float(BFloat16(Float(BFloat16(scale)) * 1000)) }
