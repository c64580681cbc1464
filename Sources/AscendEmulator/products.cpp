// Matrix products: 16-bit operands of one type, sums in float32.
#include <algorithm>

#include "operators.h"

using namespace emulator;

static void checkProduct(Preparation &p, const Operand &x, const Operand &y, const Operand &z, int8_t mathType) {
  p.require(x.rank() == 2 && y.rank() == 2 && z.rank() == 2, "operands are no matrices");
  p.require(mathType == 0, "cubeMathType other than 0 lowers the precision");
  p.requireFloating(x, "self");
  p.requireSameType(x, y, "mat2");
  p.requireSameType(x, z, "out");
  p.require(x.last() == y.extents[0], "the inner extents differ");
  p.requireShape(z, {x.extents[0], y.last()}, "out");
  for (auto *operand : {&x, &y, &z})
    for (auto extent : operand->extents) p.require(extent <= INT32_MAX, "an extent does not fit 32 bits");
  // A matrix is dense in one of its axes, as a transposed weight is.
  for (auto *operand : {&x, &y})
    p.require(operand->strides[0] == 1 || operand->strides[1] == 1 || operand->extents[1] == 1 || operand->extents[0] == 1,
              "a matrix is dense in neither axis");
  p.operations = 2 * double(x.count()) * double(y.last());
  // Either axis may be the dense one.
  p.takesGaps = true;
}

static std::vector<float> multiply(const Operand &x, const Operand &y, std::vector<float> sums) {
  auto a = read(x), b = read(y);
  int64_t rows = x.extents[0], inner = x.last(), columns = y.last();
  parallel((rows + 7) / 8, rows * inner * columns, [&](int64_t block) {
    int64_t end = std::min(rows, block * 8 + 8);
    for (int64_t k = 0; k < inner; k++) {
      const float *right = b.data() + k * columns;
      for (int64_t row = block * 8; row < end; row++) {
        float left = a[size_t(row * inner + k)], *target = sums.data() + row * columns;
        for (int64_t column = 0; column < columns; column++) target[column] += left * right[column];
      }
    }
  });
  return sums;
}

EMULATOR_PHASE_ONE(aclnnMm, const aclTensor *self, const aclTensor *mat2, aclTensor *out, int8_t mathType) {
  return prepare("aclnnMm", workspaceSize, executor, [&](Preparation &p) {
    Operand x = p.tensor(self, "self"), y = p.tensor(mat2, "mat2"), z = p.result(out, "out");
    checkProduct(p, x, y, z, mathType);
    p.workspace = 16 * 1024 + 1;
    p.kernel = [=] { write(z, multiply(x, y, std::vector<float>(size_t(z.count())))); };
  });
}
EMULATOR_PHASE_TWO(aclnnMm);

EMULATOR_PHASE_ONE(
    aclnnAddmm, const aclTensor *self, const aclTensor *mat1, const aclTensor *mat2, const aclScalar *beta,
    const aclScalar *alpha, aclTensor *out, int8_t mathType) {
  return prepare("aclnnAddmm", workspaceSize, executor, [&](Preparation &p) {
    Operand bias = p.tensor(self, "self"), x = p.tensor(mat1, "mat1"), y = p.tensor(mat2, "mat2"), z = p.result(out, "out");
    checkProduct(p, x, y, z, mathType);
    p.require(p.number(beta, "beta") == 1 && p.number(alpha, "alpha") == 1, "factors other than 1 miss the fused kernel");
    p.require(bias.rank() == 1 && bias.last() == z.last(), "self is no bias");
    p.require(bias.type == x.type || bias.type == ACL_FLOAT, "self is neither float32 nor of the matrices' type");
    p.workspace = 16 * 1024 + 1;
    p.kernel = [=] { write(z, multiply(x, y, read(bias.broadcast(z.extents)))); };
  });
}
EMULATOR_PHASE_TWO(aclnnAddmm);
