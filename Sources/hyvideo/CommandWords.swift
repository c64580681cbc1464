import ArgumentParser
import Foundation
import Generation
import StrictJSON

/// The words of a command line, made fit for the parser, and refused where it would drop some of them without a word.
///
/// The parser takes a value that begins with a dash for a flag, and of a flag that is given twice the last value.
struct CommandWords {
  private let flags: FlagTable
  private(set) var words: [String] = []
  /// The flags that are there, as they are written.
  private(set) var given: Set<String> = []
  /// The values of flags that may be given several times.
  private(set) var repeated: [String: [String]] = [:]
  private var values: [String: String] = [:]
  /// How many words name the command.
  private let depth: Int

  /// - Parameters:
  ///   - words: without the program's name.
  ///   - root: the command whose subcommands come first.
  init(_ words: [String], of root: any ParsableCommand.Type = Hyvideo.self) throws(RequestError) {
    var (rest, command) = (words[...], root)
    while let word = rest.first,
      let next = command.configuration.subcommands.first(where: { $0.configuration.commandName == word })
    {
      (rest, command) = (rest.dropFirst(), next)
      self.words.append(word)
    }
    depth = words.count - rest.count
    flags = FlagTable(command)
    while let word = rest.popFirst() {
      if word == "--" {
        self.words += [word] + rest
        return
      }
      let name = Self.name(of: word)
      guard let kind = flags[name] else {
        self.words.append(word)
        continue
      }
      given.insert(name)
      switch kind {
      case .flag: self.words.append(word)
      case .value, .repeatedValue:
        guard let value = try takeValue(word, &rest) else { continue }
        if kind == .value { try keep(value, of: name) } else { repeated[name, default: []].append(value) }
      case .numbers: try takeNumbers(word, &rest)
      }
    }
  }

  /// Refuses words that are no UTF-8: they reach this program mended, so that two names of files would become one.
  static func requireText() throws(RequestError) {
    for index in 0..<Int(CommandLine.argc) {
      guard let word = CommandLine.unsafeArgv[index], String(validatingCString: word) == nil else { continue }
      throw RequestError(
        "bad command line", at: "word \(index)", expected: "text in UTF-8", found: String(cString: word).oneLine,
        remedy: "write it, or name the file, in UTF-8")
    }
  }

  /// The words after the subcommand that are flags of a command, and what is no flag: another may have more.
  func words(of command: any ParsableCommand.Type) -> [String] {
    let known = FlagTable(command)
    return words.dropFirst(depth).filter { word in
      let name = Self.name(of: word)
      return flags[name] == nil || known[name] != nil
    }
  }

  /// The word, and its value where that is the next.
  private mutating func takeValue(_ word: String, _ rest: inout ArraySlice<String>) throws(RequestError) -> String? {
    if let equals = word.firstIndex(of: "=") {
      words.append(word)
      return String(word[word.index(after: equals)...])
    }
    // The parser says what is missing, or helps.
    guard let value = rest.first, !["-h", "--help"].contains(value) else {
      words.append(word)
      return nil
    }
    if looksLikeFlag(value) {
      throw RequestError(
        "missing value", at: word, expected: "a value", found: "the flag \(value)",
        remedy: "if that is the value, write \(ShellCommand.line(["\(word)=\(value)"]))")
    }
    rest = rest.dropFirst()
    // With a dash at its beginning the parser takes a value in this form alone.
    words += value.hasPrefix("-") ? ["\(word)=\(value)"] : [word, value]
    return value
  }

  private mutating func takeNumbers(_ word: String, _ rest: inout ArraySlice<String>) throws(RequestError) {
    words.append(word)
    var values = word.firstIndex(of: "=").map { [String(word[word.index(after: $0)...])] } ?? []
    while let next = rest.first, !looksLikeFlag(next) {
      if next.hasPrefix("-") {
        throw RequestError(
          "invalid number", at: word, expected: "numbers above 0", found: next,
          remedy: "give height and width, for example --video-size 720 1280")
      }
      values.append(next)
      words.append(next)
      rest = rest.dropFirst()
    }
    try keep(values.joined(separator: " "), of: Self.name(of: word))
  }

  private mutating func keep(_ value: String, of name: String) throws(RequestError) {
    guard let first = values.updateValue(value, forKey: name) else { return }
    throw RequestError(
      "flag given twice", at: name, expected: "it once", found: "\"\(first)\" and \"\(value)\"",
      remedy: name == "--prompt" ? "leave one out, or write both in a file for --prompt-file" : "leave one out")
  }

  /// Whether a word is a flag, or one with a letter wrong, rather than a text.
  private func looksLikeFlag(_ word: String) -> Bool {
    let name = Self.name(of: word)
    if word == "--" || flags[name] != nil { return true }
    guard let first = name.dropFirst(2).unicodeScalars.first, name.hasPrefix("--") else { return false }
    return ("a"..."z").contains(first)
      && name.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-" || $0 == "_") }
  }

  private static func name(of word: String) -> String { String(word.prefix { $0 != "=" }) }
}

/// The flags of a command, from the parser's own description of it.
struct FlagTable {
  enum Kind {
    case flag
    case value
    /// A value with each of several such flags.
    case repeatedValue
    /// All words up to the next flag.
    case numbers
  }

  private(set) var kinds: [String: Kind] = [:]

  subscript(name: String) -> Kind? { kinds[name] }

  init(_ command: any ParsableCommand.Type) {
    // The description is the parser's own JSON: where a later version changes it, the tests of the flags fail.
    let description = try? JSONDecoder().decode(Description.self, from: Data(command._dumpHelp().utf8))
    for argument in description?.command.arguments ?? [] {
      for name in argument.names ?? [] where name.kind == "long" {
        kinds["--\(name.name)"] =
          argument.kind == "flag"
          ? .flag
          : argument.parsingStrategy == "upToNextOption" ? .numbers : argument.isRepeating ? .repeatedValue : .value
      }
    }
  }

  private struct Description: Decodable {
    struct Command: Decodable { let arguments: [Argument]? }
    struct Argument: Decodable {
      struct Name: Decodable { let kind, name: String }
      let kind: String
      let isRepeating: Bool
      let parsingStrategy: String
      let names: [Name]?
    }
    let command: Command
  }
}
