public import Collectives
public import TensorOps

/// What the networks of a plan run on: one device that only counts, with each network's type of activations. They share their
/// memory and their journal.
public struct PlanningBackends {
  public let textEncoders: any PlanningBackend
  public let transformer: any PlanningBackend
  public let autoencoder: any PlanningBackend
  let makeGroups: DeviceGroups?

  /// Puts the device's own group of ranks over one of their processes, and over parts of it.
  public typealias DeviceGroups = (
    _ base: any ProcessGroup, _ parts: [(group: any ProcessGroup, members: [Int])]
  ) throws -> (all: any ProcessGroup, parts: [any ProcessGroup])

  /// - Parameter makeGroups: for devices that exchange tensors by themselves; nil where the processes do.
  public init(
    textEncoders: any PlanningBackend, transformer: any PlanningBackend, autoencoder: any PlanningBackend,
    makeGroups: DeviceGroups? = nil
  ) {
    (self.textEncoders, self.transformer, self.autoencoder) = (textEncoders, transformer, autoencoder)
    self.makeGroups = makeGroups
  }

  /// One for all networks.
  public init(_ backend: any PlanningBackend) {
    self.init(textEncoders: backend, transformer: backend, autoencoder: backend)
  }
}
