public import Checkpoints
import TensorCore

extension PublishedNetwork {
  /// What a network of HunyuanVideo's names is that text to video has no use for; nil for those that are run.
  ///
  /// The tensors count before `config.json`, which may be another release's. The second image-to-video release has the tensors
  /// of text to video: of it only `config.json` and the published folder tell.
  public var variant: OtherNetwork? {
    switch names.network {
    case .transformer: return transformerVariant
    case .autoencoder:
      let colors = AutoencoderConfiguration(deducedFrom: scope()).outputChannels
      return colors == 3 ? nil : OtherNetwork("an autoencoder of \(colors) colours, where pictures have 3")
    case .llama, .clip: return nil
    }
  }

  private var transformerVariant: OtherNetwork? {
    let sizes = TransformerConfiguration(deducedFrom: scope())
    let (inputs, outputs) = (sizes.inputChannels, sizes.outputChannels)
    let picture = "a HunyuanVideo image-to-video transformer"
    let remedy = "this program makes videos from text: name text-to-video weights"
    switch (inputs, outputs) {
    case (33, 16):
      return OtherNetwork("\(picture) (33 input channels: latents, a picture's and a mask)", remedy: remedy)
    case (32, 16):
      return OtherNetwork(
        "\(picture) (32 input channels: latents and a picture's, as of SkyReels-V1 and keyframe control)",
        remedy: remedy)
    case (65, 32), (98, 32):
      return OtherNetwork("a HunyuanVideo-1.5 transformer (\(inputs) input channels)")
    case _ where inputs != outputs:
      return OtherNetwork(
        "a HunyuanVideo transformer with more inputs than latents (\(inputs) input and \(outputs) output channels)",
        remedy: remedy)
    default: break
    }
    // Latents have any number of frames, and even numbers of rows and columns.
    if sizes.patchSize[0] != 1 || !sizes.patchSize.allSatisfy({ $0 == 1 || $0 == 2 }) {
      return OtherNetwork("a transformer with tokens of \(sizes.patchSize) latents, where 1 x 2 x 2 is HunyuanVideo's")
    }
    if let condition = configuration?.text(of: "image_condition_type") ?? configuration?.text(of: "i2v_condition_type")
    {
      return OtherNetwork("\(picture) (config.json says \(condition))", remedy: remedy)
    }
    if checkpoint.files.contains(where: { $0.contains("/hunyuan-video-i2v-720p/") }) {
      return OtherNetwork("\(picture) (of the folder hunyuan-video-i2v-720p)", remedy: remedy)
    }
    if let note = checkpoint.metadata["modelspec.architecture"]?.lowercased(),
      note.contains("i2v") || note.contains("image-to-video") || note.contains("image2video")
    {
      return OtherNetwork("\(picture) (the file's notes say \(note))", remedy: remedy)
    }
    return nil
  }

  /// What nothing but the file's name tells: that it may hold image-to-video weights, whose tensors are those of text to video.
  public var suspicion: String? {
    guard names.network == .transformer, let file = checkpoint.files.first else { return nil }
    let name = (file.split(separator: "/").last.map(String.init) ?? file).lowercased()
    guard ["i2v", "image_to_video", "image-to-video", "image2video"].contains(where: { name.contains($0) }) else {
      return nil
    }
    return "\(file) is named as image-to-video weights are, and its tensors do not tell: "
      + "if it is such, videos from text alone come out damaged"
  }

  /// - Throws: `CheckpointError.otherNetwork` for a network that text to video has no use for.
  public func requireSupported() throws(CheckpointError) {
    guard let variant else { return }
    throw .otherNetwork(
      file: checkpoint.path, expected: "\(names.network.title) for text to video", found: variant.title,
      remedy: variant.remedy)
  }
}
