import HunyuanVideo

/// Where parts of a checkpoint are, for those that are not in its folder or not the only candidates there.
public struct ModelParts: Sendable {
  public var transformer: String?
  public var autoencoder: String?
  public var textEncoder: String?
  public var textEncoder2: String?
  /// Folders with tokenizer files.
  public var tokenizer: String?
  public var tokenizer2: String?
  /// The key of the transformer's weights in a PyTorch file that has several.
  public var loadKey: String?

  public init(transformer: String? = nil) { self.transformer = transformer }
}

/// A part of a checkpoint: where layouts have it, and the flag that names it.
public enum ModelPart: Sendable, CaseIterable {
  case transformer, autoencoder, textEncoder, textEncoder2

  /// Its name in `model.json` and in reports.
  public var name: String {
    switch self {
    case .transformer: "transformer"
    case .autoencoder: "vae"
    case .textEncoder: "text_encoder"
    case .textEncoder2: "text_encoder_2"
    }
  }

  var flag: String { network.flag }

  /// What its weights are.
  var network: NetworkKind {
    switch self {
    case .transformer: .transformer
    case .autoencoder: .autoencoder
    case .textEncoder: .llama
    case .textEncoder2: .clip
    }
  }

  /// Where flags say that it is.
  func path(in parts: ModelParts) -> String? {
    switch self {
    case .transformer: parts.transformer
    case .autoencoder: parts.autoencoder
    case .textEncoder: parts.textEncoder
    case .textEncoder2: parts.textEncoder2
    }
  }

  /// The folder of the part in each layout.
  func folder(in layout: ModelLayout) -> [String] {
    switch (layout, self) {
    case (.tencent, .transformer): ["hunyuan-video-t2v-720p/transformers"]
    case (.tencent, .autoencoder): ["hunyuan-video-t2v-720p/vae"]
    // The published LLaVA works without Tencent's preprocessing step, which makes text_encoder of it.
    case (.tencent, .textEncoder): ["text_encoder", "llava-llama-3-8b-v1_1-transformers"]
    case (.tencent, .textEncoder2): ["text_encoder_2", "clip-vit-large-patch14"]
    case (.diffusers, .transformer): ["transformer"]
    case (.diffusers, _): [name]
    case (.comfy, .transformer): ["diffusion_models", "unet"]
    case (.comfy, .autoencoder): ["vae"]
    case (.comfy, .textEncoder), (.comfy, .textEncoder2): ["text_encoders", "clip"]
    }
  }
}

/// How the folders of a release are arranged.
public enum ModelLayout: String, Sendable, CaseIterable {
  /// `hunyuan-video-t2v-720p/transformers`, `hunyuan-video-t2v-720p/vae`, `text_encoder`, `text_encoder_2`
  case tencent = "Tencent"
  /// `transformer`, `vae`, `text_encoder`, `text_encoder_2`, `tokenizer`, `tokenizer_2`
  case diffusers
  /// `diffusion_models`, `vae`, `text_encoders`, each with single files
  case comfy = "ComfyUI"
}
