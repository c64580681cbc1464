import COpenSSL

/// A running SHA-256, OpenSSL's. One owner; `finalize` ends it.
struct SHA256: ~Copyable {
  private let context: OpaquePointer

  init() {
    guard let context = EVP_MD_CTX_new(), EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1 else {
      // Fails only when there is no memory for a few hundred bytes, or in a crippled build of the library.
      fatalError("SHA-256: OpenSSL refused to start a digest")
    }
    self.context = context
  }

  deinit { EVP_MD_CTX_free(context) }

  mutating func update(_ bytes: UnsafeRawBufferPointer) {
    let status = EVP_DigestUpdate(context, bytes.baseAddress, bytes.count)
    precondition(status == 1, "SHA-256: OpenSSL refused \(bytes.count) bytes")
  }

  /// The 32 bytes of the digest.
  consuming func finalize() -> [UInt8] {
    var digest = [UInt8](repeating: 0, count: 32)
    let status = EVP_DigestFinal_ex(context, &digest, nil)
    precondition(status == 1, "SHA-256: OpenSSL refused to finish")
    return digest
  }
}
