import Generation
import Testing

@Suite struct GenerationRequestTests {
  private func request(_ change: (inout GenerationRequest) -> Void) -> GenerationRequest {
    var request = GenerationRequest(prompt: "A cat.", seed: 0, defaults: ModelDefaults())
    change(&request)
    return request
  }

  private func message(_ change: (inout GenerationRequest) -> Void) -> String? {
    do {
      try request(change).validate()
      return nil
    } catch { return "\(error)" }
  }

  @Test func `the published defaults are valid`() {
    #expect(message { _ in } == nil)
    let defaults = ModelDefaults()
    #expect((defaults.height, defaults.width, defaults.frames, defaults.steps) == (720, 1280, 129, 50))
    #expect((defaults.flowShift, defaults.embeddedGuidance, defaults.framesPerSecond) == (7, 6, 24))
    #expect(defaults.flowReverse)
  }

  @Test func `a length that is not 4n+1 is refused with the two nearest`() {
    let text = message { $0.frames = 128 }
    #expect(text?.contains("125") == true && text?.contains("129") == true)
    #expect(message { $0.frames = 0 }?.contains("--video-length") == true)
    #expect(message { $0.frames = -3 }?.contains("--video-length") == true)
    #expect(message { $0.frames = .max }?.contains("--video-length") == true)
  }

  @Test(arguments: [0, -16, .max, .min, 1 << 40])
  func `sizes that cannot be are refused`(_ size: Int) {
    #expect(message { $0.height = size }?.contains("--video-size") == true)
    #expect(message { $0.width = size }?.contains("--video-size") == true)
  }

  @Test func `a video too large to address is refused`() {
    #expect(message { ($0.height, $0.width) = (1 << 30, 1 << 30) }?.contains("too large") == true)
  }

  @Test(arguments: ["", " ", "\n\t "])
  func `a prompt without text is refused`(_ prompt: String) {
    #expect(message { $0.prompt = prompt }?.contains("--prompt") == true)
  }

  @Test func `numbers that make no sense are refused`() {
    #expect(message { $0.steps = 0 }?.contains("--infer-steps") == true)
    #expect(message { $0.cfgScale = .nan }?.contains("--cfg-scale") == true)
    #expect(message { $0.flowShift = 0 }?.contains("--flow-shift") == true)
    #expect(message { $0.embeddedGuidance = -.infinity }?.contains("--embedded-cfg-scale") == true)
  }

  @Test func `messages count one frame and say height before width`() {
    #expect(VideoSize.text(frames: 1, height: 96, width: 128) == "1 frame of 96x128")
    #expect(VideoSize.text(frames: 5, height: 720, width: 1280) == "5 frames of 720x1280")
    #expect([0, 1, 2].map { $0.counted("step") } == ["0 steps", "1 step", "2 steps"])
  }

  @Test func `sizes are rounded up to multiples of 16`() {
    let odd = request { ($0.height, $0.width) = (730, 1300) }
    #expect((odd.roundedHeight, odd.roundedWidth) == (736, 1312))
    let even = request { ($0.height, $0.width) = (720, 16) }
    #expect((even.roundedHeight, even.roundedWidth) == (720, 16))
  }
}
