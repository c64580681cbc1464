#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A folder that is removed with everything in it when the object goes.
final class TemporaryFolder {
  let path: String

  init() throws {
    var template = Array("\(P_tmpdir)/hyvideo-test-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw TestFailure(message: "no temporary folder") }
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit {
    func remove(_ path: String) {
      for name in TemporaryFolder.names(in: path) { remove("\(path)/\(name)") }
      if unlink(path) != 0 { rmdir(path) }
    }
    chmod(path, 0o700)
    remove(path)
  }

  /// The names in the folder, hidden ones too.
  var names: [String] { TemporaryFolder.names(in: path) }

  /// Writes a program that can be run and returns its path. A shell writes it: had this process the file open, a
  /// child started meanwhile for another test would hold it open too, and the system runs no file open for writing.
  func script(_ name: String, _ text: String, firstLine: String = "#!/bin/sh") throws -> String {
    let file = "\(path)/\(name)"
    let command = "cat > '\(file)' <<'END_OF_SCRIPT'\n\(firstLine)\n\(text)\nEND_OF_SCRIPT\nchmod 755 '\(file)'"
    if system(command) != 0 { throw TestFailure(message: "cannot write \(name)") }
    return file
  }

  func write(_ bytes: [UInt8], to name: String) throws {
    guard let file = fopen("\(path)/\(name)", "wbe") else { throw TestFailure(message: "cannot write \(name)") }
    defer { fclose(file) }
    if fwrite(bytes, 1, bytes.count, file) != bytes.count { throw TestFailure(message: "cannot write \(name)") }
  }

  static func names(in folder: String) -> [String] {
    guard let stream = opendir(folder) else { return [] }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
  }
}

struct TestFailure: Error {
  let message: String
}

/// Frames with smooth, saturated colours that move.
func syntheticClip(frames: Int, width: Int, height: Int) -> [[UInt8]] {
  (0..<frames).map { frame in
    var bytes: [UInt8] = []
    for y in 0..<height {
      for x in 0..<width {
        bytes.append(UInt8(100 + (x + frame) * 100 / width))
        bytes.append(UInt8(y * 255 / height))
        bytes.append(UInt8(40 + frame * 4))
      }
    }
    return bytes
  }
}

/// The peak signal-to-noise ratio of two images in decibels.
func psnr(_ a: [UInt8], _ b: [UInt8]) -> Double {
  if a.count != b.count { return 0 }
  let squares = zip(a, b).reduce(0.0) { sum, pair in
    let difference = Double(pair.0) - Double(pair.1)
    return sum + difference * difference
  }
  return squares == 0 ? .infinity : 10 * log10(255 * 255 * Double(a.count) / squares)
}
