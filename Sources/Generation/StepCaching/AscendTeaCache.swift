import Collectives
public import HunyuanVideo
public import TensorCore
public import TensorOps

/// TeaCache as the Ascend recipe has it: the change is measured from the input of the last *computed* step, its
/// polynomial enters by magnitude, and `warmup` steps at both ends are computed, after which the first one sets the mark.
///
/// The recipe's skip flag stays set through the last forced steps, which then run without their blocks; here they are
/// computed. Its distances are averaged within one Ulysses group; here over all ranks.
///
/// Source: `cann-recipes-infer`, `module/dit_cache`.
public final class AscendTeaCache: AccumulatedChangeCache {
  /// Options under the recipe's names, with its values.
  public struct Options: Sendable, Hashable {
    public var change: Parameters
    public var warmup = 2

    init(_ reader: inout StepCacheOptions, fitted: [GuidanceBranch: StepCacheFit]) throws(RequestError) {
      change = try Parameters(&reader, published: AscendTeaCache.coefficients, fitted: fitted)
      warmup = try reader.integer("warmup", default: warmup, in: 0...10_000)
    }
  }

  /// TeaCache's as the recipe rounds them.
  static let coefficients = [733.226126, -401.131952, 67.5869174, -3.149879, 0.0961237896]

  private let warmup: Int

  init(_ options: Options, branch: GuidanceBranch, steps: Int, group: any ProcessGroup) {
    warmup = options.warmup
    super.init(options.change.of(branch), steps: steps, group: group)
  }

  public override func decide(
    step: Int, modulatedInput: () throws(BackendError) -> Tensor, on backend: any Backend
  ) throws(BackendError) -> StepDecision {
    if step < warmup || step >= steps - warmup { return compute() }
    let input = try modulatedInput()
    // Where it is computed, this step is what the next ones are measured from.
    defer { if !skipped { reference = input } }
    guard let reference, let residual else { return compute() }
    let change = try distance.relative(input, reference, over: reference, epsilon: 1e-8, on: backend)
    return decision(adding: abs(parameters.polynomial(at: change)), reusing: residual)
  }
}
