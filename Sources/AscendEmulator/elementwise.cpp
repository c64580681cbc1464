// Elementwise operators: operands broadcast, the shape of the result is exact, arithmetic is float32.
#include <algorithm>
#include <cmath>

#include "operators.h"

using namespace emulator;

namespace {

Extents broadcast(const Preparation &p, const Extents &a, const Extents &b) {
  Extents result(std::max(a.size(), b.size()));
  for (size_t i = 0; i < result.size(); i++) {
    int64_t x = i < a.size() ? a[a.size() - 1 - i] : 1, y = i < b.size() ? b[b.size() - 1 - i] : 1;
    p.require(x == y || x == 1 || y == 1, "operands " + text(a) + " and " + text(b) + " do not broadcast");
    result[result.size() - 1 - i] = x == 1 ? y : x;
  }
  return result;
}

// What types promote to, as PyTorch has it.
aclDataType promoted(aclDataType a, aclDataType b) {
  if (a == b) return a;
  return ACL_FLOAT;
}

// Rounds to a type without storing: what an operator hands on inside.
float rounded(float value, aclDataType type) {
  if (type == ACL_FLOAT16) return float(_Float16(value));
  if (type == ACL_BF16) {
    uint32_t bits;
    __builtin_memcpy(&bits, &value, 4);
    if (std::isnan(value)) return value;
    bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000u;
    __builtin_memcpy(&value, &bits, 4);
  }
  return value;
}

using Binary = std::function<float(float, float)>;

void binary(Preparation &p, const aclTensor *self, const aclTensor *other, aclTensor *out, Binary f) {
  Operand x = p.tensor(self, "self"), y = p.tensor(other, "other"), z = p.result(out, "out");
  for (auto *operand : {&x, &y, &z}) p.requireFloating(*operand, "an operand");
  p.requireShape(z, broadcast(p, x.extents, y.extents), "out");
  aclDataType type = promoted(x.type, y.type);
  p.kernel = [=] {
    auto a = read(x.broadcast(z.extents)), b = read(y.broadcast(z.extents));
    for (size_t i = 0; i < a.size(); i++) a[i] = rounded(f(a[i], b[i]), type);
    write(z, a);
  };
}

void unary(Preparation &p, const aclTensor *self, aclTensor *out, std::function<float(float)> f) {
  Operand x = p.tensor(self, "self"), z = p.result(out, "out");
  p.requireFloating(x, "self");
  p.requireShape(z, x.extents, "out");
  p.requireSameType(x, z, "out");
  p.kernel = [=] {
    auto values = read(x);
    for (auto &value : values) value = f(value);
    write(z, values);
  };
}

float sigmoid(float x) { return 1 / (1 + std::exp(-x)); }

}  // namespace

EMULATOR_PHASE_ONE(aclnnAdd, const aclTensor *self, const aclTensor *other, const aclScalar *alpha, aclTensor *out) {
  return prepare("aclnnAdd", workspaceSize, executor, [&](Preparation &p) {
    float factor = float(p.number(alpha, "alpha"));
    binary(p, self, other, out, [=](float a, float b) { return a + factor * b; });
    p.workspace = 513;
  });
}
EMULATOR_PHASE_TWO(aclnnAdd);

EMULATOR_PHASE_ONE(aclnnSub, const aclTensor *self, const aclTensor *other, const aclScalar *alpha, aclTensor *out) {
  return prepare("aclnnSub", workspaceSize, executor, [&](Preparation &p) {
    float factor = float(p.number(alpha, "alpha"));
    binary(p, self, other, out, [=](float a, float b) { return a - factor * b; });
  });
}
EMULATOR_PHASE_TWO(aclnnSub);

EMULATOR_PHASE_ONE(aclnnMul, const aclTensor *self, const aclTensor *other, aclTensor *out) {
  return prepare("aclnnMul", workspaceSize, executor, [&](Preparation &p) {
    binary(p, self, other, out, [](float a, float b) { return a * b; });
    p.workspace = 33;
  });
}
EMULATOR_PHASE_TWO(aclnnMul);

EMULATOR_PHASE_ONE(aclnnLogAddExp, const aclTensor *self, const aclTensor *other, aclTensor *out) {
  return prepare("aclnnLogAddExp", workspaceSize, executor, [&](Preparation &p) {
    binary(p, self, other, out, [](float a, float b) {
      float larger = std::max(a, b);
      return std::isinf(larger) ? larger : larger + std::log1p(std::exp(-std::fabs(a - b)));
    });
  });
}
EMULATOR_PHASE_TWO(aclnnLogAddExp);

EMULATOR_PHASE_ONE(aclnnAdds, const aclTensor *self, const aclScalar *other, const aclScalar *alpha, aclTensor *out) {
  return prepare("aclnnAdds", workspaceSize, executor, [&](Preparation &p) {
    float term = float(p.number(other, "other") * p.number(alpha, "alpha"));
    unary(p, self, out, [=](float x) { return x + term; });
  });
}
EMULATOR_PHASE_TWO(aclnnAdds);

EMULATOR_PHASE_ONE(aclnnMuls, const aclTensor *self, const aclScalar *other, aclTensor *out) {
  return prepare("aclnnMuls", workspaceSize, executor, [&](Preparation &p) {
    float factor = float(p.number(other, "other"));
    unary(p, self, out, [=](float x) { return x * factor; });
  });
}
EMULATOR_PHASE_TWO(aclnnMuls);

EMULATOR_PHASE_ONE(aclnnAddcmul, const aclTensor *self, const aclTensor *tensor1, const aclTensor *tensor2,
          const aclScalar *value, aclTensor *out) {
  return prepare("aclnnAddcmul", workspaceSize, executor, [&](Preparation &p) {
    Operand x = p.tensor(self, "self"), y = p.tensor(tensor1, "tensor1"), z = p.tensor(tensor2, "tensor2");
    Operand result = p.result(out, "out");
    float factor = float(p.number(value, "value"));
    for (auto *operand : {&x, &y, &z, &result}) {
      p.requireFloating(*operand, "an operand");
      p.requireSameType(*operand, x, "an operand");
    }
    p.requireShape(result, broadcast(p, x.extents, broadcast(p, y.extents, z.extents)), "out");
    p.workspace = 65;
    p.kernel = [=] {
      auto a = read(x.broadcast(result.extents)), b = read(y.broadcast(result.extents));
      auto c = read(z.broadcast(result.extents));
      for (size_t i = 0; i < a.size(); i++) a[i] += factor * b[i] * c[i];
      write(result, a);
    };
  });
}
EMULATOR_PHASE_TWO(aclnnAddcmul);

#define UNARY(name, expression)                                                      \
  EMULATOR_PHASE_ONE(name, const aclTensor *self, aclTensor *out) {                           \
    return prepare(#name, workspaceSize, executor, [&](Preparation &p) {             \
      unary(p, self, out, [](float x) -> float { return expression; });              \
    });                                                                              \
  }                                                                                  \
  EMULATOR_PHASE_TWO(name)

UNARY(aclnnSilu, x *sigmoid(x));
UNARY(aclnnFastGelu, x *sigmoid(1.702f * x));
UNARY(aclnnSigmoid, sigmoid(x));
UNARY(aclnnAbs, std::fabs(x));

EMULATOR_PHASE_ONE(aclnnGeluV2, const aclTensor *x, int64_t approximate, aclTensor *y) {
  return prepare("aclnnGeluV2", workspaceSize, executor, [&](Preparation &p) {
    p.require(approximate == 0 || approximate == 1, "approximate is neither 0 nor 1");
    unary(p, x, y, [=](float v) {
      if (approximate == 0) return 0.5f * v * (1 + std::erf(v * 0.70710678f));
      return 0.5f * v * (1 + std::tanh(0.79788456f * (v + 0.044715f * v * v * v)));
    });
  });
}
EMULATOR_PHASE_TWO(aclnnGeluV2);

EMULATOR_PHASE_ONE(aclnnIsFinite, const aclTensor *self, aclTensor *out) {
  return prepare("aclnnIsFinite", workspaceSize, executor, [&](Preparation &p) {
    Operand x = p.tensor(self, "self"), z = p.result(out, "out");
    p.requireFloating(x, "self");
    p.require(z.type == ACL_BOOL, "out does not hold booleans");
    p.requireShape(z, x.extents, "out");
    p.kernel = [=] {
      auto values = read(x);
      for (auto &value : values) value = std::isfinite(value) ? 1 : 0;
      write(z, values);
    };
  });
}
EMULATOR_PHASE_TWO(aclnnIsFinite);
