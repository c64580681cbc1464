/// What a download leaves in the place of a file.
public enum Placeholder: String, Sendable {
  case nothing = "an empty file"
  case pointer = "a Git LFS pointer"
  case page = "a web page"

  /// - Parameter bytes: The first bytes of a file, some hundreds where it has so many.
  public init?(_ bytes: some Collection<UInt8>) {
    if bytes.isEmpty {
      self = .nothing
    } else if bytes.starts(with: "version https://git-lfs".utf8) {
      self = .pointer
    } else {
      let text = bytes.drop { $0 == 0x20 || (0x09...0x0D).contains($0) || [0xEF, 0xBB, 0xBF].contains($0) }
      let pages = ["<!", "<html", "<HTML", "<?xml", "<head", "<Error"]
      guard pages.contains(where: { text.starts(with: $0.utf8) }) else { return nil }
      self = .page
    }
  }

  /// What the user can do.
  public var remedy: String {
    switch self {
    case .nothing: "download or save it again"
    case .pointer: "fetch the contents with git lfs pull"
    case .page: "download the file itself, not the page about it"
    }
  }
}
