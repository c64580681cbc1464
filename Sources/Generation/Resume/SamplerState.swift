public import HunyuanVideo
public import TensorCore

/// Where a sampler is between two steps. With the settings of the run it is all that is needed to go on: noise levels and
/// everything that is made of the prompt are made again.
public struct SamplerState: Sendable {
  /// `[1, C, F', H/8, W/8]`, float32 in host memory.
  public var latents: Tensor
  /// How many steps are done.
  public var step: Int
  /// The step caches' states, for the prompt and with true guidance for the negative prompt; empty after the last step.
  public var caches: [StepCacheState]

  public init(latents: Tensor, step: Int, caches: [StepCacheState] = []) {
    self.latents = latents
    self.step = step
    self.caches = caches
  }

  /// Checks that the state is one of a run with these latents and steps.
  func check(fits shape: Shape, steps: Int) throws(RequestError) {
    if latents.shape != shape || latents.dtype != .float32 || !(0...steps).contains(step) {
      throw RequestError(
        "wrong state", at: "--resume", expected: "float32\(shape) after 0 to \(steps) steps",
        found: "\(latents) after \(step)", remedy: "resume with the file that this run wrote")
    }
  }
}
