import TensorCore
import TensorOps

extension ConformanceCase {
  /// Causal convolutions.
  public static let convolution =
    convolutionShapes + convolutionTiles + convolutionUpsamplings + convolutionFormats + convolutionViews
    + normalizedConvolutions

  /// What a convolution is asked to do: `input` is `[B, C, F, H, W]`.
  private struct Problem: Sendable {
    var input: Shape
    var outputs: Int
    var kernel = 3
    var upsampling = Upsampling.none
    var format = WeightFormat.float32
    var hasBias = true
    var hasResidual = false
    /// The axis along which the input and the residual are slices.
    var slicedAxis: Int?
    /// Of a normalization before it, if there is one.
    var groups: Int?

    var name: String {
      "causalConvolution \(input) to \(outputs), kernel \(kernel), upsampling \(upsampling.time) and "
        + "\(upsampling.space), \(format), bias \(hasBias), residual \(hasResidual)"
        + (slicedAxis.map { ", slices along \($0)" } ?? "") + (groups.map { ", after \($0) groups" } ?? "")
    }

    var conformance: ConformanceCase {
      ConformanceCase(name) { [self] inputs in
        let x = try slicedAxis.map { try inputs.slice(input, axis: $0) } ?? inputs.tensor(input)
        let deviation = 1 / Double(input[1] * kernel * kernel * kernel).squareRoot()
        let weight = try inputs.weight([outputs, input[1], kernel, kernel, kernel], format, deviation: deviation)
        let bias = try hasBias ? inputs.weight([outputs], format.scaling == .none ? format : .bfloat16) : nil
        let output: Shape = [
          input[0], outputs, upsampling.frames(input[2]), input[3] * upsampling.space, input[4] * upsampling.space,
        ]
        var residual: Tensor?
        if hasResidual {
          residual = try slicedAxis.map { try inputs.slice(output, axis: $0) } ?? inputs.tensor(output)
        }
        if let groups {
          let norm = GroupNormalization(
            groups: groups, weight: try inputs.weight([input[1]], mean: 1), bias: try inputs.weight([input[1]]),
            epsilon: 1e-6, activation: .silu)
          return [
            try inputs.backend.causalConvolution(x, after: norm, weight: weight, bias: bias, residual: residual)
          ]
        }
        return [
          try inputs.backend.causalConvolution(
            x, weight: weight, bias: bias, upsampling: upsampling, residual: residual)
        ]
      }
    }
  }

  private static let convolutionShapes = [1, 3].flatMap { kernel in
    [
      Problem(input: [1, 3, 1, 5, 7], outputs: 16, kernel: kernel),
      Problem(input: [1, 16, 2, 3, 5], outputs: 48, kernel: kernel, hasResidual: true),
      Problem(input: [2, 48, 5, 4, 3], outputs: 16, kernel: kernel, hasBias: false),
      Problem(input: [1, 128, 2, 6, 5], outputs: 3, kernel: kernel),
      Problem(input: [2, 3, 5, 2, 9], outputs: 128, kernel: kernel, hasResidual: true),
      Problem(input: [1, 48, 1, 7, 6], outputs: 128, kernel: kernel, hasBias: false, hasResidual: true),
      Problem(input: [1, 128, 2, 6, 4], outputs: 128, kernel: kernel),
      Problem(input: [1, 16, 5, 1, 1], outputs: 16, kernel: kernel),
      Problem(input: [1, 1, 1, 1, 1], outputs: 1, kernel: kernel),
      Problem(input: [1, 16, 2, 33, 35], outputs: 16, kernel: kernel),
      Problem(input: [1, 4, 3, 65, 2], outputs: 5, kernel: kernel),
    ].map(\.conformance)
  }

  /// Wide enough to be computed in tiles of pixels: clips of odd extents, of more than one block along every axis, of more than one
  /// group of outputs, and as small as they get.
  private static let convolutionTiles = [
    Problem(input: [1, 64, 1, 2, 2], outputs: 64),
    Problem(input: [1, 64, 1, 1, 9], outputs: 64),
    Problem(input: [2, 64, 7, 5, 3], outputs: 80, hasBias: false, hasResidual: true),
    Problem(input: [1, 80, 2, 9, 35], outputs: 256, hasResidual: true),
    Problem(input: [1, 64, 2, 37, 19], outputs: 64, slicedAxis: 3),
    Problem(input: [1, 272, 1, 20, 18], outputs: 64, format: .bfloat16),
    Problem(input: [2, 64, 8, 3, 6], outputs: 64, hasResidual: true, groups: 16),
  ].map(\.conformance)

  private static let convolutionUpsamplings = [(1, 2), (2, 2), (2, 1)].flatMap { (time, space) in
    [1, 2, 5].flatMap { frames in
      [(3, 16, 5, 3, false), (16, 48, 3, 4, true), (48, 16, 4, 4, false), (16, 3, 1, 1, true), (16, 16, 9, 17, false)]
        .map { (inputs, outputs, height, width, hasResidual) in
          Problem(
            input: [frames == 2 ? 2 : 1, inputs, frames, height, width], outputs: outputs,
            upsampling: Upsampling(time: time, space: space), hasBias: !hasResidual, hasResidual: hasResidual
          ).conformance
        }
    }
      + [
        Problem(input: [1, 6, 3, 4, 5], outputs: 7, kernel: 1, upsampling: Upsampling(time: time, space: space)),
        Problem(input: [1, 128, 2, 3, 3], outputs: 128, upsampling: Upsampling(time: time, space: space)),
      ].map(\.conformance)
  }

  private static let convolutionFormats = WeightFormat.all.flatMap { format in
    [
      Problem(input: [1, 16, 2, 5, 6], outputs: 9, format: format),
      Problem(input: [1, 16, 2, 5, 6], outputs: 9, kernel: 1, format: format),
      Problem(input: [1, 8, 3, 3, 4], outputs: 16, upsampling: Upsampling(time: 2, space: 2), format: format),
    ].map(\.conformance)
  }

  /// Frames enough that windows slide, borders on all sides, the outputs that take another way.
  private static let normalizedConvolutions = [
    Problem(input: [1, 16, 2, 33, 35], outputs: 16, hasResidual: true, groups: 4),
    Problem(input: [2, 48, 5, 4, 3], outputs: 16, hasBias: false, groups: 3),
    Problem(input: [2, 8, 40, 6, 5], outputs: 12, hasResidual: true, groups: 2),
    Problem(input: [1, 8, 70, 3, 2], outputs: 9, groups: 8),
    Problem(input: [1, 128, 2, 6, 5], outputs: 3, groups: 32),
    Problem(input: [1, 16, 3, 5, 4], outputs: 16, kernel: 1, groups: 4),
    Problem(input: [2, 6, 3, 5, 7], outputs: 10, hasResidual: true, slicedAxis: 1, groups: 2),
    Problem(input: [1, 6, 3, 5, 7], outputs: 10, slicedAxis: 3, groups: 6),
  ].map(\.conformance)

  private static let convolutionViews = (0..<5).flatMap { axis in
    [
      Problem(input: [2, 6, 3, 5, 7], outputs: 10, hasResidual: true, slicedAxis: axis),
      Problem(input: [2, 6, 3, 5, 7], outputs: 10, kernel: 1, slicedAxis: axis),
      Problem(
        input: [1, 6, 3, 5, 7], outputs: 10, upsampling: Upsampling(time: 2, space: 2), hasResidual: true,
        slicedAxis: axis),
    ].map(\.conformance)
  }
}
