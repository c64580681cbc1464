import COneDNN
import Synchronization
import TensorOps

/// The types whose matrices are multiplied.
enum ProductType: Hashable {
  case float32
  /// With sums in float32.
  case bfloat16
  /// With sums in int32, which are exact.
  case int8

  fileprivate var elements: dnnl_data_type_t {
    switch self {
    case .float32: dnnl_f32
    case .bfloat16: dnnl_bf16
    case .int8: dnnl_s8
    }
  }

  fileprivate var sums: dnnl_data_type_t { self == .int8 ? dnnl_s32 : dnnl_f32 }
}

/// The extents of a product of dense matrices.
struct ProductKey: Hashable {
  let rows: Int
  let columns: Int
  let inner: Int
  /// The distance of rows of the result.
  let stride: Int
  let type: ProductType
  /// Whether the right-hand matrix is stored `[columns, inner]`, and whether the product is added to what the result holds.
  var isTransposed = false
  var accumulates = false
}

/// One of oneDNN's products with its extents fixed.
final class ProductPrimitive: @unchecked Sendable {
  // Sendable: oneDNN's primitives do not change when they run.
  private let engine: dnnl_engine_t
  private var product = onednn_product()

  init(_ key: ProductKey, _ engine: dnnl_engine_t) throws(BackendError) {
    self.engine = engine
    // Created for one thread: the way it divides its work depends on that.
    OneDNN.useCallingThreadOnly()
    var extents = onednn_product_extents(
      rows: Int64(key.rows), columns: Int64(key.columns), inner: Int64(key.inner), stride: Int64(key.stride),
      type: key.type.elements, sum: key.type.sums, transposed: key.isTransposed, accumulate: key.accumulates)
    try OneDNN.check(onednn_product_create(engine, &extents, &product), "product")
  }

  deinit { onednn_product_destroy(&product) }

  var scratchBytes: Int { product.scratch_bytes }

  /// Multiplies on the calling thread.
  /// - Parameters:
  ///   - result: four bytes each.
  ///   - scratch: `scratchBytes` of working memory; nil to take them from the pool.
  func run(
    _ left: UnsafeRawPointer, _ right: UnsafeRawPointer, to result: UnsafeMutableRawPointer,
    scratch: UnsafeMutableRawPointer? = nil
  ) throws(BackendError) {
    let own = scratch == nil && scratchBytes > 0 ? Scratch(count: (scratchBytes + 3) / 4) : nil
    defer { withExtendedLifetime(own) {} }
    let status = withUnsafePointer(to: product) {
      onednn_product_run(engine, $0, left, right, result, scratch ?? own?.bytes)
    }
    try OneDNN.check(status, "product")
  }
}

/// Products, kept for the next call with the same extents.
final class ProductCache: Sendable {
  private struct State {
    var engine: dnnl_engine_t?
    var products: [ProductKey: ProductPrimitive] = [:]
  }

  private static let mostProducts = 256
  private let state: Mutex<State>

  init() { state = Mutex(State()) }

  deinit { state.withLock { state in if let engine = state.engine { dnnl_engine_destroy(engine) } } }

  func product(_ key: ProductKey) throws(BackendError) -> ProductPrimitive {
    try state.withLock { state throws(BackendError) in
      if let product = state.products[key] { return product }
      let engine = try OneDNN.engine(&state.engine)
      if state.products.count >= ProductCache.mostProducts { state.products.removeAll() }
      let product = try ProductPrimitive(key, engine)
      state.products[key] = product
      return product
    }
  }
}
