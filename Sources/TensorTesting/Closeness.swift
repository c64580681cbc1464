import BackendConformance
public import TensorCore
public import Testing

/// Expects that `‖actual - expected‖ <= relative · ‖expected‖`, that both have one shape and that nothing is NaN; else
/// records an issue that says where the largest difference is.
/// - Parameters:
///   - actual: A host tensor; any type and strides.
///   - expected: A host tensor; any type and strides.
///   - relative: The largest relative norm of the difference.
///   - what: What the tensors are, for the message.
public func expectClose(
  _ actual: Tensor, _ expected: Tensor, relative: Double, _ what: String,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  let comparison = Comparison(actual, expected)
  #expect(
    comparison.isWithin(relative: relative), "\(what): \(comparison), allowed \(relative)",
    sourceLocation: sourceLocation)
}
