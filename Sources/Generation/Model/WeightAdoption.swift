public import TensorCore

/// What is done with each parameter when a network is built: a backend's `adopt`, or nothing where a checkpoint is only
/// checked.
public typealias WeightAdoption = @Sendable (Weight) throws -> Weight
