import TensorCore
import TensorOps

/// How a convolution with a 3 x 3 x 3 kernel is divided where rows and columns are convolved by Winograd's minimal filtering
/// (Lavin and Gray 2015, F(2 x 2, 3 x 3)): four results of two rows and two columns, a tile, take 16 products of numbers that are
/// sums of the 16 pixels they see, instead of 36. Frames are summed as ever.
///
/// Nothing here depends on the number of threads: oneDNN sums in an order that depends on the extents, and results must not depend
/// on the machine.
struct WinogradExtents {
  /// Positions of a transformed tile along one axis.
  static let positions = 4

  let channels: Int
  let outputs: Int
  let frames: Int
  /// Tiles of a block.
  let tileRows: Int
  let tileColumns: Int
  /// How many blocks a frame has.
  let blockRows: Int
  let blockColumns: Int
  /// Neighbouring frames that a task computes, the last task of a block what is left.
  let chunk: Int
  let chunks: Int
  /// Outputs that are computed at a time, and how many such groups a task computes.
  let group: Int
  let groupsPerTask: Int
  let batch: Int

  /// Narrower convolutions gain less than the transforms cost (docs/speed.md).
  private static let leastChannels = 64
  /// Transformed pixels of a row of positions: they should stay in a core's share of the caches.
  private static let mostChannelTiles = 1 << 14
  private static let mostFrames = 6
  /// How many tasks a convolution has at least, where that only divides its outputs.
  private static let leastTasks = 32

  /// Nil where a convolution is better done directly.
  init?(
    taps: Int, upsampling: Upsampling, batch: Int, channels: Int, outputs: Int, frames: Int, height: Int, width: Int
  ) {
    guard taps == 3, upsampling == .none, channels % 16 == 0, outputs % 16 == 0,
      min(channels, outputs) >= WinogradExtents.leastChannels, min(height, width) > 1
    else { return nil }
    (self.channels, self.outputs, self.frames, self.batch) = (channels, outputs, frames, batch)
    /// The smallest number of equal parts of at most so many, and how many are in one.
    func parts(_ count: Int, atMost most: Int) -> (count: Int, size: Int) {
      let parts = (count + most - 1) / most
      return (parts, (count + parts - 1) / parts)
    }
    (blockColumns, tileColumns) = parts((width + 1) / 2, atMost: 8)
    let rows = WinogradExtents.mostChannelTiles / (channels * tileColumns)
    (blockRows, tileRows) = parts((height + 1) / 2, atMost: min(max(rows, 1), 8))
    (chunks, chunk) = parts(frames, atMost: WinogradExtents.mostFrames)
    group = outputs % 128 == 0 ? 128 : outputs
    groupsPerTask = batch * blockRows * blockColumns * chunks < WinogradExtents.leastTasks ? 1 : outputs / group
  }

  /// - Parameter x: `[B, C, F, H, W]`
  init?(taps: Int, upsampling: Upsampling, outputs: Int, _ x: Tensor) {
    self.init(
      taps: taps, upsampling: upsampling, batch: x.shape[0], channels: x.shape[1], outputs: outputs,
      frames: x.shape[2], height: x.shape[3], width: x.shape[4])
  }

  var groups: Int { outputs / group }
  var tiles: Int { tileRows * tileColumns }
  var tasks: Int { batch * blockRows * blockColumns * chunks * (groups / groupsPerTask) }
  /// Frames of the last chunk.
  var lastChunk: Int { frames - (chunks - 1) * chunk }

  /// Rows and columns of pixels that a block sees.
  var windowRows: Int { 2 * tileRows + 2 }
  var windowColumns: Int { 2 * tileColumns + 2 }

  /// Floats of a task's working memory: the window, its transform for a row of positions, and their products.
  var windowCount: Int { (chunk + 2) * windowRows * windowColumns * channels }
  var transformedCount: Int { (chunk + 2) * tiles * channels }
  var productCount: Int { chunk * tiles * group }
  func scratchCount(workBytes: Int) -> Int {
    windowCount + WinogradExtents.positions * (transformedCount + productCount) + (workBytes + 3) / 4
  }

  /// The products of one position with some frames: what is left of the kernel are its frames.
  func key(frames: Int) -> ConvolutionPrimitive.Key {
    ConvolutionPrimitive.Key(
      channels: channels, outputs: group, kernel: KernelExtents(time: 3, height: 1, width: 1),
      result: KernelExtents(time: frames, height: 1, width: tiles), accumulates: false)
  }

  /// Floats of all transformed weights, where those of a position and a group take so many bytes.
  func packedCount(weightBytes: Int) -> Int {
    groups * WinogradExtents.positions * WinogradExtents.positions * packedStride(weightBytes: weightBytes)
  }

  /// The distance of two positions' weights; each begins at a multiple of 64 bytes.
  func packedStride(weightBytes: Int) -> Int { (weightBytes + 63) / 64 * 16 }

  /// Floats of a group's transformed weights before they are packed, and the distance of two positions: more than they have, since
  /// large powers of two would bring all sixteen into the same few places of the caches.
  var foldedCount: Int { WinogradExtents.positions * WinogradExtents.positions * foldedStride }
  var foldedStride: Int { group * channels * 3 + 16 }
}
