public import TensorCore
public import TensorOps

/// What a step cache carries from one step to the next, in host memory: enough to go on after the program has ended.
public struct StepCacheState: Sendable {
  /// Counters and sums, as text that gives the same value when it is read back.
  public var values: [String: String]
  /// Residuals, differences and the like: contiguous, in host memory.
  public var tensors: [String: Tensor]

  public init(values: [String: String] = [:], tensors: [String: Tensor] = [:]) {
    self.values = values
    self.tensors = tensors
  }

  /// Brings tensors from the device. What is nil is left out, and is nil again when it is read back.
  public init(
    numbers: [String: Double?] = [:], tensors: [String: Tensor?], on backend: any Backend
  ) throws(BackendError) {
    values = numbers.compactMapValues { $0.map { "\($0)" } }
    self.tensors = [:]
    for case (let name, let tensor?) in tensors { self.tensors[name] = try backend.download(tensor) }
  }

  public func number(_ name: String) -> Double? { values[name].flatMap { Double($0) } }

  public func tensor(_ name: String, on backend: any Backend) throws(BackendError) -> Tensor? {
    guard let tensor = tensors[name] else { return nil }
    return try backend.upload(tensor)
  }
}

extension StepCache {
  /// A cache that does not say what it carries cannot be saved: a run with it goes on from its last step alone.
  public func savedState(on backend: any Backend) throws(BackendError) -> StepCacheState? { nil }

  public func restore(_ state: StepCacheState, on backend: any Backend) throws(BackendError) {}
}

extension NoStepCache {
  /// Nothing is carried.
  public func savedState(on backend: any Backend) throws(BackendError) -> StepCacheState? { StepCacheState() }
}
