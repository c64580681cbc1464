import Checkpoints
import Foundation
import Generation
import VideoIO

/// Where everything that a run makes goes, checked before any work: folders exist and can be written, nothing else than a
/// file is replaced, and no two outputs have one name.
struct OutputPlan {
  /// The video of each request: a file, or a folder ending in `/`.
  let videos: [String]

  /// - Parameters:
  ///   - running: what the run writes beside its videos.
  ///   - isChecked: false only names the outputs, on ranks that write none.
  init(
    _ options: OutputOptions, _ running: RunOptions, requests: [GenerationRequest], isChecked: Bool = true
  ) throws {
    if let output = options.output {
      videos = try Self.named(output, count: requests.count)
    } else {
      videos = try Self.freeNames(in: options.savePath ?? "./results", for: requests, isChecked: isChecked)
    }
    if !isChecked { return }
    var files = videos
    if let saved = running.resume { files.append(saved) } else { files += videos.map { Self.beside($0, .run) } }
    if running.preview != nil { files += videos.map { Self.beside($0, .preview) } }
    if options.profDit, options.profile == nil, let first = videos.first { files.append(Self.beside(first, .trace)) }
    let others = [
      ("--save-latents", options.saveLatents), ("--save-frames", options.saveFrames), ("--report", options.report),
    ]
    for (flag, path) in others {
      guard let path else { continue }
      for index in requests.indices {
        let file = requests.count > 1 ? Self.numbered(path, index) : path
        try Self.requireReplaceable(file, flag: flag)
        files.append(file)
      }
    }
    // One for all videos.
    if let profile = options.profile {
      try Self.requireReplaceable(profile, flag: "--profile")
      files.append(profile)
    }
    try Self.requireDistinct(files)
    try videos.forEach(Self.checkVideo)
    for video in videos { try Self.requireReachable(Self.beside(video, .run)) }
    try files.prefix(Self.mostClaims).forEach(Self.claim)
  }

  /// The system looks through the locks of a file one by one. The first of a run stand for those that differ in their numbers alone.
  private static let mostClaims = 2000

  /// Takes a name that this process writes to, so that no other does at the same time.
  static func claim(_ path: String) throws(RequestError) {
    if OutputClaims.take(path) != .busy { return }
    throw RequestError(
      "output in use", at: path, expected: "a name that nobody writes to", found: "another run that does",
      remedy: "wait for its end, or choose another name")
  }

  /// What a run writes beside its video.
  enum Companion: String {
    case run = ".run.safetensors"
    case preview = ".preview.png"
    case trace = ".trace.json"
  }

  /// The path of a file beside a video. A name that would be too long with it is cut.
  static func beside(_ video: String, _ companion: Companion) -> String {
    let stem = video.hasSuffix("/") ? String(video.dropLast()) : (video as NSString).deletingPathExtension
    return FileSystem.path(stem, suffix: companion.rawValue)
  }

  /// Checks that a video can be put where it should go.
  static func checkVideo(_ path: String) throws {
    try requireWritable(folder: folder(of: path))
    if path.hasSuffix("/") {
      try PNGWriter.checkOutput(folder: path)
    } else {
      try VideoWriter.checkOutput(path: path)
    }
  }

  /// Whether a file of a video needs ffmpeg's H.264 encoder.
  var hasFiles: Bool { videos.contains { !$0.hasSuffix("/") } }

  /// A path for one of several videos: `latents.safetensors` becomes `latents_2.safetensors` for the third.
  static func numbered(_ path: String, _ index: Int) -> String {
    let start = path.lastIndex(of: "/").map(path.index(after:)) ?? path.startIndex
    guard let dot = path[start...].lastIndex(of: "."), dot > start else { return "\(path)_\(index)" }
    return "\(path[..<dot])_\(index)\(path[dot...])"
  }

  // MARK: Names

  static func named(_ output: String, count: Int) throws(RequestError) -> [String] {
    let isFolder = output.hasSuffix("/")
    let path = String(output[..<(output.lastIndex { $0 != "/" }.map(output.index(after:)) ?? output.startIndex)])
    if path.isEmpty || !(isFolder || output.lowercased().hasSuffix(".mp4")) {
      throw RequestError(
        "unknown output", at: "--output", expected: "a file ending in .mp4 or a folder ending in /",
        found: "\"\(output)\"", remedy: "for example --output video.mp4, or --output frames/")
    }
    return (0..<count).map { index in (count > 1 ? numbered(path, index) : path) + (isFolder ? "/" : "") }
  }

  /// Names of the time, the seed and the prompt, which are not taken by any file or any run of this moment: they become this run's.
  private static func freeNames(
    in folder: String, for requests: [GenerationRequest], isChecked: Bool
  ) throws -> [String] {
    func names(_ time: String) -> [String] {
      requests.enumerated().map { index, request in
        let parts = [time, "seed\(request.seed)", fileName(request.prompt), requests.count > 1 ? "\(index)" : ""]
        return "\(folder)/\(parts.filter { !$0.isEmpty }.joined(separator: "_")).mp4"
      }
    }
    let time = timestamp()
    if !isChecked { return names(time) }
    try requireWritable(folder: folder)
    for attempt in 1...10_000 {
      let videos = names(attempt == 1 ? time : "\(time)-\(attempt)")
      let answers = Set(videos.prefix(mostClaims).map(OutputClaims.take))
      if answers.contains(.unsupported) { break }
      let isFree = videos.allSatisfy { video in
        [video, beside(video, .run)].allSatisfy { !FileManager.default.fileExists(atPath: $0) }
      }
      if isFree && answers == [.taken] { return videos }
    }
    // Without locks chance must do.
    return names(time + "-" + String(UInt32.random(in: 0x1000_0000...UInt32.max), radix: 16))
  }

  private static func timestamp() -> String {
    let formatter = DateFormatter()
    formatter.dateFormat = "yyyy-MM-dd-HHmmss"
    formatter.locale = Locale(identifier: "en_US_POSIX")
    return formatter.string(from: Date())
  }

  /// A prompt as part of a file name: letters and digits of any script, up to 100 bytes, so that every file system takes it.
  private static func fileName(_ prompt: String) -> String {
    var name = ""
    for character in prompt {
      let next = character.isLetter || character.isNumber ? String(character) : "_"
      if next == "_" && (name.isEmpty || name.hasSuffix("_")) { continue }
      if name.utf8.count + next.utf8.count > 100 { break }
      name += next
    }
    return name.hasSuffix("_") ? String(name.dropLast()) : name
  }

  /// The folder that a file or folder is in. (`NSString.deletingLastPathComponent` traps for names of one character.)
  static func folder(of path: String) -> String {
    let trimmed = path.hasSuffix("/") ? path.dropLast() : path[...]
    guard let slash = trimmed.lastIndex(of: "/") else { return "." }
    return slash == trimmed.startIndex ? "/" : String(trimmed[..<slash])
  }

  // MARK: Checks

  /// Makes a folder where it is missing and checks that files can be made in it.
  static func requireWritable(folder path: String) throws(RequestError) {
    try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    var isFolder: ObjCBool = false
    let exists = FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
    if exists && isFolder.boolValue && access(path, W_OK | X_OK) == 0 { return }
    throw RequestError(
      "cannot write output", at: path, expected: "a writable folder",
      found: exists
        ? (isFolder.boolValue ? "a folder without write permission" : "a file") : "none, and it cannot be made",
      remedy: "choose another place with --output or --save-path")
  }

  /// A file that will be written under a temporary name and renamed must not stand where a folder or a device is.
  static func requireReplaceable(_ path: String, flag: String) throws(RequestError) {
    func refuse(_ found: String) -> RequestError {
      RequestError(
        "cannot write output", at: flag, expected: "the name of a file", found: found, remedy: "choose another file")
    }
    if path.isEmpty || path.hasSuffix("/") { throw refuse("\"\(path)\"") }
    try requireWritable(folder: folder(of: path))
    try requireReachable(path)
    var information = stat()
    if stat(path, &information) == 0, information.st_mode & S_IFMT != S_IFREG {
      throw refuse(information.st_mode & S_IFMT == S_IFDIR ? "the folder \(path)" : "the special file \(path)")
    }
  }

  /// The file system must take so long a name.
  static func requireReachable(_ path: String) throws(RequestError) {
    var information = stat()
    // As it is called while it is written.
    for name in [path, PartialName.make(for: path)] where lstat(name, &information) != 0 && errno == ENAMETOOLONG {
      throw RequestError(
        "name too long", at: path, expected: "a path that the file system takes", found: "\(path.utf8.count) bytes",
        remedy: "choose a shorter name or folder")
    }
  }

  static func requireDistinct(_ paths: [String]) throws(RequestError) {
    var seen: Set<String> = []
    for path in paths where !seen.insert(URL(fileURLWithPath: path).standardizedFileURL.path).inserted {
      throw RequestError(
        "two outputs of one name", at: path, expected: "a name for each output", found: "the same twice",
        remedy: "give each flag a file of its own")
    }
  }
}
