// Convolution, replicated borders and nearest-neighbour enlargement of [B, C, F, H, W].
#include <algorithm>

#include "operators.h"

using namespace emulator;

static void checkVolume(Preparation &p, const Operand &operand, const char *what) {
  p.require(operand.rank() == 5 && operand.format == ACL_FORMAT_NCDHW, std::string(what) + " is not NCDHW");
  for (auto extent : operand.extents)
    p.require(extent > 0 && extent <= 1000000, std::string(what) + " has an extent beyond 1 to 1,000,000");
}

EMULATOR_PHASE_ONE(
    aclnnConvolution, const aclTensor *input, const aclTensor *weight, const aclTensor *bias, const aclIntArray *stride,
    const aclIntArray *padding, const aclIntArray *dilation, bool transposed, const aclIntArray *outputPadding,
    int64_t groups, aclTensor *output, int8_t mathType) {
  return prepare("aclnnConvolution", workspaceSize, executor, [&](Preparation &p) {
    Operand x = p.tensor(input, "input"), w = p.tensor(weight, "weight"), z = p.result(output, "output");
    for (auto *operand : {&x, &w, &z}) {
      checkVolume(p, *operand, "an operand");
      p.requireSameType(*operand, x, "an operand");
    }
    p.require(x.type == ACL_BF16 || x.type == ACL_FLOAT16, "float32 needs a lower precision on an Atlas A2");
    p.require(mathType == 0, "cubeMathType is not 0");
    std::vector<Operand> terms;
    if (bias) {
      terms.push_back(p.tensor(bias, "bias"));
      p.requireSameType(terms[0], w, "bias");
      p.requireShape(terms[0], {w.extents[0]}, "bias");
    }
    p.require(p.integers(stride, "stride") == Extents{1, 1, 1} && p.integers(dilation, "dilation") == Extents{1, 1, 1} &&
                  p.integers(padding, "padding") == Extents{0, 0, 0} &&
                  p.integers(outputPadding, "outputPadding") == Extents{0, 0, 0},
              "strides, dilation or padding that are not emulated");
    p.require(!transposed && groups == 1, "transposition and groups are not emulated");
    p.require(w.extents[1] == x.extents[1], "weight and input differ in channels");
    p.require(w.extents[3] <= 511 && w.extents[4] <= 511, "the kernel is too large");
    Extents expected = {x.extents[0], w.extents[0]};
    for (size_t axis = 2; axis < 5; axis++) expected.push_back(x.extents[axis] - w.extents[axis] + 1);
    p.requireShape(z, expected, "output");
    p.operations = 2 * double(z.count()) * double(w.count() / w.extents[0]);
    p.workspace = 77;
    // NDC1HWC0 of input and output, FRACTAL_Z_3D of the weight, each in blocks of 16 channels; gaps go with the input's.
    auto blocked = [](int64_t channels) { return (channels + 15) / 16 * 16; };
    int64_t inputs = blocked(x.extents[1]), outputs = blocked(z.extents[1]);
    p.working = 2 * size_t(x.count() / x.extents[1] * inputs + z.count() / z.extents[1] * outputs +
                           w.count() / (w.extents[0] * w.extents[1]) * inputs * outputs);
    p.takesGaps = true;
    p.kernel = [=] {
      auto values = read(x), factors = read(w);
      auto first = terms.empty() ? std::vector<float>(size_t(z.extents[1])) : read(terms[0]);
      std::vector<float> sums(size_t(z.count()));
      int64_t channels = x.extents[1], rows = x.extents[3], columns = x.extents[4];
      int64_t kf = w.extents[2], kh = w.extents[3], kw = w.extents[4];
      int64_t frames = z.extents[2], height = z.extents[3], width = z.extents[4], plane = height * width;
      parallel(z.extents[0] * z.extents[1], z.count() * channels * kf * kh * kw, [&](int64_t i) {
        int64_t item = i / z.extents[1], channel = i % z.extents[1];
        float *target = sums.data() + i * frames * plane;
        std::fill(target, target + frames * plane, first[size_t(channel)]);
        for (int64_t c = 0; c < channels; c++)
          for (int64_t f = 0; f < frames; f++)
            for (int64_t a = 0; a < kf; a++)
              for (int64_t b = 0; b < kh; b++)
                for (int64_t d = 0; d < kw; d++) {
                  float factor = factors[size_t((((channel * channels + c) * kf + a) * kh + b) * kw + d)];
                  const float *source =
                      values.data() + (((item * channels + c) * x.extents[2] + f + a) * rows + b) * columns + d;
                  for (int64_t h = 0; h < height; h++)
                    for (int64_t v = 0; v < width; v++)
                      target[f * plane + h * width + v] += factor * source[h * columns + v];
                }
      });
      write(z, sums);
    };
  });
}
EMULATOR_PHASE_TWO(aclnnConvolution);

// Elements of `z` from places of `x`: `place(axis, index)`.
static void gather(const Operand &x, const Operand &z, const std::function<int64_t(size_t, int64_t)> &place) {
  auto values = read(x);
  std::vector<float> results(size_t(z.count()));
  std::vector<std::vector<int64_t>> places(5);
  for (size_t axis = 0; axis < 5; axis++)
    for (int64_t i = 0; i < z.extents[axis]; i++) places[axis].push_back(place(axis, i));
  size_t position = 0;
  for (auto b : places[0])
    for (auto c : places[1])
      for (auto f : places[2])
        for (auto h : places[3])
          for (auto v : places[4]) {
            int64_t source = (((b * x.extents[1] + c) * x.extents[2] + f) * x.extents[3] + h) * x.extents[4] + v;
            results[position++] = values[size_t(source)];
          }
  write(z, results);
}

EMULATOR_PHASE_ONE(aclnnReplicationPad3d, const aclTensor *self, const aclIntArray *padding, aclTensor *out) {
  return prepare("aclnnReplicationPad3d", workspaceSize, executor, [&](Preparation &p) {
    Operand x = p.tensor(self, "self"), z = p.result(out, "out");
    p.require(x.rank() == 5 && z.rank() == 5, "self is not [B, C, F, H, W]");
    p.requireFloating(x, "self");
    p.requireSameType(x, z, "out");
    auto amounts = p.integers(padding, "padding");
    p.require(amounts.size() == 6, "padding has not 6 numbers");
    Extents expected = x.extents, front(5);
    for (size_t i = 0; i < 3; i++) {
      size_t axis = 4 - i;
      int64_t before = amounts[2 * i], after = amounts[2 * i + 1];
      p.require(before >= 0 && after >= 0 && std::max(before, after) < x.extents[axis], "padding reaches the extent");
      expected[axis] += before + after;
      front[axis] = before;
    }
    p.requireShape(z, expected, "out");
    p.kernel = [=] {
      gather(x, z, [&](size_t axis, int64_t i) { return std::clamp<int64_t>(i - front[axis], 0, x.extents[axis] - 1); });
    };
  });
}
EMULATOR_PHASE_TWO(aclnnReplicationPad3d);

EMULATOR_PHASE_ONE(
    aclnnUpsampleNearest3d, const aclTensor *self, const aclIntArray *outputSize, double scalesD, double scalesH,
    double scalesW, aclTensor *out) {
  return prepare("aclnnUpsampleNearest3d", workspaceSize, executor, [&](Preparation &p) {
    Operand x = p.tensor(self, "self"), z = p.result(out, "out");
    checkVolume(p, x, "self");
    checkVolume(p, z, "out");
    p.requireFloating(x, "self");
    p.requireSameType(x, z, "out");
    auto sizes = p.integers(outputSize, "outputSize");
    p.require(sizes.size() == 3, "outputSize has not 3 numbers");
    p.requireShape(z, {x.extents[0], x.extents[1], sizes[0], sizes[1], sizes[2]}, "out");
    double scales[5] = {1, 1, scalesD, scalesH, scalesW};
    for (size_t axis = 2; axis < 5; axis++)
      p.require(scales[axis] == 0 || int64_t(double(x.extents[axis]) * scales[axis]) == z.extents[axis],
                "a scale and a size disagree");
    p.workspace = 5;
    p.kernel = [=] {
      gather(x, z, [&](size_t axis, int64_t i) { return std::min(i * x.extents[axis] / z.extents[axis], x.extents[axis] - 1); });
    };
  });
}
EMULATOR_PHASE_TWO(aclnnUpsampleNearest3d);
