import COneDNN
import TensorOps

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// The parts of oneDNN that are not a convolution.
enum OneDNN {
  /// - Throws: `BackendError.libraryFailure` for anything but success.
  static func check(_ status: dnnl_status_t, _ operation: String) throws(BackendError) {
    if status == dnnl_success { return }
    let text = dnnl_status2str(status).map { String(cString: $0) } ?? "status \(status.rawValue)"
    throw .libraryFailure(library: "oneDNN", operation: operation, status: text)
  }

  /// The engine, made at its first use.
  static func engine(_ known: inout dnnl_engine_t?) throws(BackendError) -> dnnl_engine_t {
    if known == nil { try check(dnnl_engine_create(&known, dnnl_cpu, 0), "engine") }
    guard let engine = known else { preconditionFailure("oneDNN made no engine") }
    return engine
  }

  /// Whether oneDNN uses wider vectors than Swift's code.
  static let hasWideVectors = onednn_has_wide_vectors()

  /// Whether oneDNN uses bfloat16 instructions of an x86-64 processor.
  static let hasBFloat16 = onednn_has_bfloat16()

  /// Whether oneDNN uses instructions for 8-bit integers of an x86-64 processor (VNNI).
  static let hasInt8 = onednn_has_int8()

  static var version: String {
    guard let version = dnnl_version()?.pointee else { return "unknown" }
    return "\(version.major).\(version.minor).\(version.patch)"
  }

  /// Makes oneDNN compute on the calling thread alone. Its threads are OpenMP's: every thread of ours that calls it
  /// would get a team of its own. Our loops share out the work instead.
  static func useCallingThreadOnly() { setTeamSize?(1) }

  private static let setTeamSize: (@convention(c) (Int32) -> Void)? = {
    // Nil where oneDNN was built without OpenMP: then there is nothing to set.
    guard let symbol = dlsym(dlopen(nil, RTLD_LAZY), "omp_set_num_threads") else { return nil }
    return unsafeBitCast(symbol, to: (@convention(c) (Int32) -> Void).self)
  }()

  /// The right-hand matrix of a product: `[inner, columns]`, or `[columns, inner]` where transposed.
  struct Factor {
    let address: UnsafePointer<Float>
    let rowStride: Int
    let isTransposed: Bool
  }

  /// `result = scale · left · right`, or `result += …` where `adds`, on the calling thread. `left` is `[rows, inner]`.
  static func multiply(
    _ left: UnsafePointer<Float>, rowStride leftStride: Int, _ right: Factor, rows: Int, columns: Int, inner: Int,
    scale: Float = 1, adds: Bool = false, into result: UnsafeMutablePointer<Float>, rowStride resultStride: Int,
    _ operation: String
  ) throws(BackendError) {
    let no = CChar(UInt8(ascii: "N"))
    let transposed = CChar(UInt8(ascii: "T"))
    let status = dnnl_sgemm(
      no, right.isTransposed ? transposed : no, dnnl_dim_t(rows), dnnl_dim_t(columns), dnnl_dim_t(inner), scale, left,
      dnnl_dim_t(leftStride), right.address, dnnl_dim_t(right.rowStride), adds ? 1 : 0, result,
      dnnl_dim_t(resultStride))
    try check(status, operation)
  }
}
