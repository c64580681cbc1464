import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// CANN's dynamic libraries and the functions in them. A function that a CANN lacks is an error only where it is needed,
/// so that newer operators can be used where they exist.
public final class CANNLibraries: @unchecked Sendable {
  // Sendable: handles never change and are never closed; found functions are behind a lock.

  private struct Library {
    let path: String
    let handle: UnsafeMutableRawPointer
  }

  /// The runtime, without which there is no CANN; newer releases split it off libascendcl.so.
  private static let runtimeNames = ["libascendcl.so", "libacl_rt.so"]
  /// Descriptors, then operators as one library or by package, then as some builds of CANN name them.
  private static let operatorNames = [
    "libnnopbase.so", "libopapi_math.so", "libopapi_nn.so", "libopapi_cv.so", "libopapi_transformer.so", "libopapi.so",
    "libaclnn_ops_infer.so", "libaclnn_math.so",
  ]
  /// By which profilers are told of ranges: as newer and as older releases do.
  private static let toolNames = ["libms_tools_ext.so", "libmsprofiler.so"]

  /// Several devices; newer releases split communicators off.
  private static let collectiveNames = ["libhccl.so", "libhcomm.so"]

  private let libraries: [Library]
  private let hidden: Set<String>
  private let found = Mutex<[String: UInt]>([:])

  /// Opens the libraries of a process with CANN's environment.
  /// - Parameters:
  ///   - environment: `HYVIDEO_CANN_LIBRARY_PATH` (folders or libraries, separated by colons) replaces all else;
  ///     `ASCEND_HOME_PATH` and `ASCEND_TOOLKIT_HOME` name the toolkit.
  ///   - hidden: Functions to treat as missing: what an older CANN lacks.
  /// - Throws: `AscendError.librariesNotFound`
  public init(environment: [String: String], hiding hidden: Set<String> = []) throws(AscendError) {
    let places = CANNLibraries.places(environment)
    var opened: [Library] = []
    // A library that is there and does not load says more than those that are not there.
    var reason = (text: "", isOfFile: false)
    func open(_ path: String) {
      if let handle = dlopen(path, RTLD_LAZY | RTLD_LOCAL) {
        opened.append(Library(path: path, handle: handle))
      } else if let message = dlerror() {
        let isFile = access(path, F_OK) == 0
        if reason.text.isEmpty || isFile && !reason.isOfFile { reason = (String(cString: message), isFile) }
      }
    }
    for place in places where place.isLibrary { open(place.path) }
    let all = [
      CANNLibraries.runtimeNames, CANNLibraries.operatorNames, CANNLibraries.collectiveNames, CANNLibraries.toolNames,
    ]
    for names in all {
      for name in names {
        for place in places where !place.isLibrary {
          let count = opened.count
          open(place.path.isEmpty ? name : place.path + "/" + name)
          if opened.count > count { break }
        }
      }
      if opened.isEmpty { break }
    }
    guard !opened.isEmpty else {
      throw .librariesNotFound(
        searched: places.map { $0.path.isEmpty ? "the loader's path" : $0.path }, reason: reason.text)
    }
    libraries = opened
    self.hidden = hidden
  }

  /// Where the libraries were found.
  public var paths: [String] { libraries.map(\.path) }

  private static func places(_ environment: [String: String]) -> [(path: String, isLibrary: Bool)] {
    if let list = environment["HYVIDEO_CANN_LIBRARY_PATH"], !list.isEmpty {
      return list.split(separator: ":").map { (String($0), $0.hasSuffix(".so")) }
    }
    return toolkits(environment).map { ($0 + "/lib64", false) } + [("", false)]
  }

  /// The folders in which a toolkit may be.
  static func toolkits(_ environment: [String: String]) -> [String] {
    ["ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME"].compactMap { environment[$0] }
      + ["/usr/local/Ascend/ascend-toolkit/latest", "/usr/local/Ascend/cann"]
  }

  /// Whether a function exists.
  func has(_ name: String) -> Bool { address(name) != nil }

  /// A function by name, of the type that CAscend declares for it.
  func function<Function>(_ name: String, _ type: Function.Type) -> Function? {
    address(name).map { unsafeBitCast($0, to: type) }
  }

  /// A function that nothing can do without.
  func required<Function>(_ name: String, _ type: Function.Type) throws(AscendError) -> Function {
    guard let function = function(name, type) else { throw .missingFunction(name: name, libraries: paths) }
    return function
  }

  private func address(_ name: String) -> UInt? {
    if hidden.contains(name) { return nil }
    return found.withLock { found in
      if let address = found[name] { return address == 0 ? nil : address }
      let pointer = libraries.lazy.compactMap { dlsym($0.handle, name) }.first
      let address = UInt(bitPattern: pointer)
      found[name] = address
      return address == 0 ? nil : address
    }
  }
}
