import StrictJSON

/// Text that a browser shows as it is.
enum HTMLText {
  static func escaped(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      case "'": result += "&#39;"
      case "\t", "\n", "\r": result.unicodeScalars.append(scalar)
      // Not allowed in HTML, invisible, or turning what follows round.
      default: result += scalar.isDisplayed ? String(scalar) : scalar.escaped
      }
    }
    return result
  }
}
