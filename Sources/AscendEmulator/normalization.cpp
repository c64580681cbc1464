// Normalizations and rotation. Statistics are float32.
#include <cmath>

#include "operators.h"

using namespace emulator;

namespace {

struct Moments {
  float mean, deviation;
};

Moments moments(const float *values, int64_t count, double epsilon) {
  float sum = 0, squares = 0;
  for (int64_t i = 0; i < count; i++) sum += values[i];
  float mean = sum / float(count);
  for (int64_t i = 0; i < count; i++) squares += (values[i] - mean) * (values[i] - mean);
  return {mean, 1 / std::sqrt(squares / float(count) + float(epsilon))};
}

// A parameter of the last axis, in the type of `x` or in float32.
void checkParameter(Preparation &p, const Operand &parameter, const Operand &x, const char *what) {
  p.requireShape(parameter, {x.last()}, what);
  p.require(parameter.type == x.type || parameter.type == ACL_FLOAT, std::string(what) + " has an unsupported type");
}

std::vector<float> layerNorm(const Operand &x, const std::vector<float> &weight, const std::vector<float> &bias, double epsilon) {
  auto values = read(x);
  int64_t width = x.last();
  for (size_t start = 0; start < values.size(); start += size_t(width)) {
    float *row = values.data() + start;
    Moments m = moments(row, width, epsilon);
    for (int64_t i = 0; i < width; i++) {
      row[i] = (row[i] - m.mean) * m.deviation;
      if (!weight.empty()) row[i] *= weight[size_t(i)];
      if (!bias.empty()) row[i] += bias[size_t(i)];
    }
  }
  return values;
}

}  // namespace

EMULATOR_PHASE_ONE(
    aclnnLayerNorm, const aclTensor *input, const aclIntArray *normalizedShape, const aclTensor *weight,
    const aclTensor *bias, double epsilon, aclTensor *out, aclTensor *mean, aclTensor *deviation) {
  return prepare("aclnnLayerNorm", workspaceSize, executor, [&](Preparation &p) {
    Operand x = p.tensor(input, "input"), z = p.result(out, "out");
    p.requireFloating(x, "input");
    p.requireSameType(x, z, "out");
    p.requireShape(z, x.extents, "out");
    p.require(p.integers(normalizedShape, "normalizedShape") == Extents{x.last()}, "not the last axis alone");
    p.require(!mean && !deviation, "statistics that nobody needs");
    std::vector<Operand> parameters;
    for (auto *tensor : {weight, bias}) {
      if (!tensor) continue;
      parameters.push_back(p.tensor(tensor, "weight or bias"));
      checkParameter(p, parameters.back(), x, "weight or bias");
      p.requireSameType(parameters.front(), parameters.back(), "bias");
    }
    p.require(weight || !bias, "a bias without a weight");
    p.workspace = 321;
    p.kernel = [=] {
      auto w = parameters.empty() ? std::vector<float>() : read(parameters[0]);
      auto b = parameters.size() < 2 ? std::vector<float>() : read(parameters[1]);
      write(z, layerNorm(x, w, b, epsilon));
    };
  });
}
EMULATOR_PHASE_TWO(aclnnLayerNorm);

EMULATOR_PHASE_ONE(
    aclnnAdaLayerNorm, const aclTensor *self, const aclTensor *scale, const aclTensor *shift, const aclTensor *weight,
    const aclTensor *bias, double epsilon, aclTensor *out) {
  return prepare("aclnnAdaLayerNorm", workspaceSize, executor, [&](Preparation &p) {
    Operand x = p.tensor(self, "x"), factor = p.tensor(scale, "scale"), term = p.tensor(shift, "shift");
    Operand z = p.result(out, "out");
    p.require(x.rank() == 3, "x is not [B, S, H]");
    for (auto *operand : {&factor, &term, &z}) p.requireSameType(x, *operand, "an operand");
    p.requireShape(z, x.extents, "out");
    for (auto *operand : {&factor, &term})
      p.require(operand->extents == Extents{x.extents[0], x.last()} || operand->extents == Extents{x.extents[0], 1, x.last()},
                "scale or shift is neither [B, H] nor [B, 1, H]");
    std::vector<Operand> parameters;
    for (auto *tensor : {weight, bias}) {
      if (!tensor) continue;
      parameters.push_back(p.tensor(tensor, "weight or bias"));
      p.requireShape(parameters.back(), {x.last()}, "weight or bias");
      p.requireSameType(parameters.back(), x, "weight or bias");
    }
    p.require(parameters.size() != 1, "a weight without a bias");
    p.kernel = [=] {
      auto w = parameters.empty() ? std::vector<float>() : read(parameters[0]);
      auto b = parameters.empty() ? std::vector<float>() : read(parameters[1]);
      auto values = layerNorm(x, w, b, epsilon);
      auto scales = read(factor), shifts = read(term);
      size_t width = size_t(x.last()), rows = size_t(x.extents[1]);
      for (size_t i = 0; i < values.size(); i++) {
        size_t place = i / (rows * width) * width + i % width;
        values[i] = values[i] * (1 + scales[place]) + shifts[place];
      }
      write(z, values);
    };
  });
}
EMULATOR_PHASE_TWO(aclnnAdaLayerNorm);

EMULATOR_PHASE_ONE(
    aclnnRmsNorm, const aclTensor *self, const aclTensor *gamma, double epsilon, const aclTensor *yOut,
    const aclTensor *rstdOut) {
  return prepare("aclnnRmsNorm", workspaceSize, executor, [&](Preparation &p) {
    Operand x = p.tensor(self, "x"), weight = p.tensor(gamma, "gamma"), z = p.result(yOut, "yOut");
    Operand deviations = p.result(rstdOut, "rstdOut");
    p.requireFloating(x, "x");
    p.requireSameType(x, z, "yOut");
    p.requireShape(z, x.extents, "yOut");
    checkParameter(p, weight, x, "gamma");
    Extents statistics = x.extents;
    statistics.back() = 1;
    p.require(deviations.type == ACL_FLOAT, "rstdOut is not float32");
    p.requireShape(deviations, statistics, "rstdOut");
    p.workspace = 129;
    p.kernel = [=] {
      auto values = read(x), w = read(weight);
      std::vector<float> reciprocals;
      size_t width = w.size();
      for (size_t start = 0; start < values.size(); start += width) {
        float squares = 0;
        for (size_t i = 0; i < width; i++) squares += values[start + i] * values[start + i];
        float reciprocal = 1 / std::sqrt(squares / float(width) + float(epsilon));
        for (size_t i = 0; i < width; i++) values[start + i] *= reciprocal * w[i];
        reciprocals.push_back(reciprocal);
      }
      write(z, values);
      write(deviations, reciprocals);
    };
  });
}
EMULATOR_PHASE_TWO(aclnnRmsNorm);

static void groupNorm(
    Preparation &p, const aclTensor *self, const aclTensor *gamma, const aclTensor *beta, int64_t groups, double epsilon,
    bool isActivated, bool mayMixTypes, aclTensor *out, aclTensor *meanOut, aclTensor *rstdOut) {
  Operand x = p.tensor(self, "self"), weight = p.tensor(gamma, "gamma"), bias = p.tensor(beta, "beta");
  Operand z = p.result(out, "out"), means = p.result(meanOut, "meanOut"), deviations = p.result(rstdOut, "rstdOut");
  p.requireFloating(x, "self");
  p.require(x.rank() >= 2 && x.count() > 0, "self has an empty extent");
  int64_t items = x.extents[0], channels = x.extents[1];
  p.require(groups > 0 && channels % groups == 0, "channels do not divide into groups");
  p.requireShape(z, x.extents, "out");
  p.requireSameType(x, z, "out");
  for (auto *parameter : {&weight, &bias}) {
    p.requireShape(*parameter, {channels}, "gamma or beta");
    p.require(parameter->type == x.type || (mayMixTypes && parameter->type == ACL_FLOAT), "gamma or beta has another type");
  }
  for (auto *statistic : {&means, &deviations}) {
    p.requireShape(*statistic, {items, groups}, "meanOut or rstdOut");
    p.requireSameType(*statistic, x, "meanOut or rstdOut");
  }
  p.workspace = 2049;
  p.kernel = [=] {
    auto values = read(x), w = read(weight), b = read(bias);
    std::vector<float> m, d;
    int64_t size = x.count() / (items * groups), plane = x.count() / (items * channels);
    for (int64_t group = 0; group < items * groups; group++) {
      float *start = values.data() + group * size;
      Moments found = moments(start, size, epsilon);
      for (int64_t i = 0; i < size; i++) {
        size_t channel = size_t((group % groups) * (channels / groups) + i / plane);
        float y = (start[i] - found.mean) * found.deviation * w[channel] + b[channel];
        start[i] = isActivated ? y / (1 + std::exp(-y)) : y;
      }
      m.push_back(found.mean);
      d.push_back(found.deviation);
    }
    write(z, values);
    write(means, m);
    write(deviations, d);
  };
}

EMULATOR_PHASE_ONE(
    aclnnGroupNorm, const aclTensor *self, const aclTensor *gamma, const aclTensor *beta, int64_t N, int64_t C,
    int64_t HxW, int64_t group, double eps, aclTensor *out, aclTensor *meanOut, aclTensor *rstdOut) {
  return prepare("aclnnGroupNorm", workspaceSize, executor, [&](Preparation &p) {
    groupNorm(p, self, gamma, beta, group, eps, false, false, out, meanOut, rstdOut);
    auto &x = p.operands[0];
    p.require(N == x.extents[0] && C == x.extents[1] && N * C * HxW == x.count(), "N, C or HxW is not self's");
  });
}
EMULATOR_PHASE_TWO(aclnnGroupNorm);

EMULATOR_PHASE_ONE(
    aclnnGroupNormSiluV2, const aclTensor *self, const aclTensor *gamma, const aclTensor *beta, int64_t group, double eps,
    bool activateSilu, aclTensor *out, aclTensor *meanOut, aclTensor *rstdOut) {
  return prepare("aclnnGroupNormSiluV2", workspaceSize, executor, [&](Preparation &p) {
    groupNorm(p, self, gamma, beta, group, eps, activateSilu, true, out, meanOut, rstdOut);
  });
}
EMULATOR_PHASE_TWO(aclnnGroupNormSiluV2);

EMULATOR_PHASE_ONE(
    aclnnRotaryPositionEmbedding, const aclTensor *self, const aclTensor *cos, const aclTensor *sin, int64_t mode,
    aclTensor *out) {
  return prepare("aclnnRotaryPositionEmbedding", workspaceSize, executor, [&](Preparation &p) {
    Operand x = p.tensor(self, "x"), c = p.tensor(cos, "cos"), s = p.tensor(sin, "sin"), z = p.result(out, "out");
    for (auto *operand : {&c, &s, &z}) p.requireSameType(x, *operand, "an operand");
    p.requireFloating(x, "x");
    p.require(x.rank() == 4 && c.rank() == 4, "x is not [B, S, N, D]");
    p.require(mode == 0 || mode == 1, "mode is neither 0 nor 1");
    int64_t size = x.last();
    p.require(size % 2 == 0 && size < 896, "D is odd or too large");
    p.requireShape(c, {1, x.extents[1], 1, size}, "cos");
    p.requireShape(s, c.extents, "sin");
    p.requireShape(z, x.extents, "out");
    p.require(z.isDense(), "out has gaps");
    if (mode == 1) p.require(x.extents[0] * x.extents[2] < 1000, "B * N is 1000 or more");
    if (mode == 0) p.require(x.extents[0] < 1000 && x.extents[2] < 1000, "B or N is 1000 or more");
    p.workspace = 1;
    p.kernel = [=] {
      auto values = read(x), cosines = read(c), sines = read(s);
      auto rotated = values;
      size_t width = size_t(size), heads = size_t(x.extents[2]), tokens = size_t(x.extents[1]);
      for (size_t row = 0; row < values.size() / width; row++) {
        size_t token = row / heads % tokens;
        for (size_t i = 0; i < width; i++) {
          // The other half of the pair, and its sign.
          size_t partner = mode == 1 ? i ^ 1 : (i + width / 2) % width;
          float sign = (mode == 1 ? i % 2 == 0 : i < width / 2) ? -1.0f : 1.0f;
          rotated[row * width + i] = values[row * width + i] * cosines[token * width + i]
              + sign * values[row * width + partner] * sines[token * width + i];
        }
      }
      write(z, rotated);
    };
  });
}
EMULATOR_PHASE_TWO(aclnnRotaryPositionEmbedding);
