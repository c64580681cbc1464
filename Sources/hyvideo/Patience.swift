import Foundation

/// A word to those who wait.
enum Patience {
  /// Says what is being done where it takes longer than two seconds.
  /// - Parameter text: nil says nothing.
  static func saying<Result>(_ text: String?, _ body: () throws -> Result) rethrows -> Result {
    guard let text else { return try body() }
    let word = DispatchWorkItem { Console.error("\(text)\n") }
    DispatchQueue.global().asyncAfter(deadline: .now() + 2, execute: word)
    defer { word.cancel() }
    return try body()
  }
}
