import CPUBackend
import Layers
import TensorOps

/// The backends that every golden is checked on.
enum TestBackend: String, CaseIterable, Sendable {
  case reference, cpu

  var context: ForwardContext {
    switch self {
    case .reference: ForwardContext(backend: ReferenceBackend())
    case .cpu: ForwardContext(backend: CPUBackend())
    }
  }
}
