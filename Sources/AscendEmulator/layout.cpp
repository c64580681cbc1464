// Copies, joins, conversions, look-ups and reductions.
#include <algorithm>

#include "operators.h"

using namespace emulator;

EMULATOR_PHASE_ONE(aclnnCast, const aclTensor *self, aclDataType dtype, aclTensor *out) {
  return prepare("aclnnCast", workspaceSize, executor, [&](Preparation &p) {
    Operand x = p.tensor(self, "self"), z = p.result(out, "out");
    p.require(z.type == dtype, "out has another type than asked for");
    p.requireShape(z, x.extents, "out");
    p.kernel = [=] { write(z, read(x)); };
  });
}
EMULATOR_PHASE_TWO(aclnnCast);

EMULATOR_PHASE_ONE(aclnnInplaceCopy, aclTensor *selfRef, const aclTensor *src) {
  return prepare("aclnnInplaceCopy", workspaceSize, executor, [&](Preparation &p) {
    Operand z = p.result(selfRef, "selfRef"), x = p.tensor(src, "src");
    p.requireShape(z, x.extents, "selfRef");
    p.workspace = 97;
    p.takesGaps = true;
    p.kernel = [=] { write(z, read(x)); };
  });
}
EMULATOR_PHASE_TWO(aclnnInplaceCopy);

EMULATOR_PHASE_ONE(aclnnCat, const aclTensorList *tensors, int64_t dim, aclTensor *out) {
  return prepare("aclnnCat", workspaceSize, executor, [&](Preparation &p) {
    auto members = p.list(tensors, "tensors");
    Operand z = p.result(out, "out");
    p.require(!members.empty() && members.size() <= 32, "a list has 1 to 32 members");
    p.require(dim >= 0 && size_t(dim) < z.rank(), "no such axis");
    Extents whole = members[0].extents;
    whole[size_t(dim)] = 0;
    for (auto &member : members) {
      p.requireSameType(member, z, "a member");
      p.require(member.rank() == z.rank(), "a member has another rank");
      Extents rest = member.extents;
      whole[size_t(dim)] += rest[size_t(dim)];
      rest[size_t(dim)] = whole[size_t(dim)];
      p.require(rest == whole, "members differ off the axis");
    }
    p.requireShape(z, whole, "out");
    p.workspace = 1025;
    p.kernel = [=] {
      Operand part = z;
      for (auto &member : members) {
        part.extents = member.extents;
        write(part, read(member));
        part.offset += member.extents[size_t(dim)] * z.strides[size_t(dim)];
      }
    };
  });
}
EMULATOR_PHASE_TWO(aclnnCat);

EMULATOR_PHASE_ONE(aclnnEmbedding, const aclTensor *weight, const aclTensor *indices, const aclTensor *out) {
  return prepare("aclnnEmbedding", workspaceSize, executor, [&](Preparation &p) {
    Operand table = p.tensor(weight, "weight"), ids = p.tensor(indices, "indices"), z = p.result(out, "out");
    p.require(table.rank() == 2, "weight is no matrix");
    p.require(ids.type == ACL_INT32 || ids.type == ACL_INT64, "indices are neither int32 nor int64");
    p.requireSameType(z, table, "out");
    Extents expected = ids.extents;
    expected.push_back(table.last());
    p.requireShape(z, expected, "out");
    p.kernel = [=] {
      auto rows = read(table), places = read(ids);
      size_t width = size_t(table.last());
      std::vector<float> values;
      for (auto place : places) {
        // A device would read whatever lies there.
        if (place < 0 || int64_t(place) >= table.extents[0]) throw Refusal{invalidOperand, "an index is out of range"};
        values.insert(values.end(), rows.begin() + size_t(place) * width, rows.begin() + (size_t(place) + 1) * width);
      }
      write(z, values);
    };
  });
}
EMULATOR_PHASE_TWO(aclnnEmbedding);

EMULATOR_PHASE_ONE(aclnnConstantPadNd, const aclTensor *self, const aclIntArray *pad, const aclScalar *value, aclTensor *out) {
  return prepare("aclnnConstantPadNd", workspaceSize, executor, [&](Preparation &p) {
    Operand x = p.tensor(self, "self"), z = p.result(out, "out");
    auto amounts = p.integers(pad, "pad");
    float filling = float(p.number(value, "value"));
    p.requireSameType(x, z, "out");
    p.require(amounts.size() % 2 == 0 && amounts.size() / 2 <= x.rank(), "pad has pairs, last axis first");
    Operand inside = z;
    inside.extents = x.extents;
    Extents expected = x.extents;
    for (size_t i = 0; i < amounts.size(); i += 2) {
      size_t axis = x.rank() - 1 - i / 2;
      p.require(amounts[i] >= 0 && amounts[i + 1] >= 0, "padding is not negative here");
      expected[axis] += amounts[i] + amounts[i + 1];
      inside.offset += amounts[i] * z.strides[axis];
    }
    p.requireShape(z, expected, "out");
    p.kernel = [=] {
      write(z, std::vector<float>(size_t(z.count()), filling));
      write(inside, read(x));
    };
  });
}
EMULATOR_PHASE_TWO(aclnnConstantPadNd);

// MARK: Reductions

// Sums over axes, in blocks as wide hardware does.
static void reduce(Preparation &p, const Operand &x, const Operand &z, const Extents &axes, bool keep,
                   const std::function<float(const std::vector<float> &)> &combine) {
  std::vector<bool> isReduced(x.rank());
  for (auto axis : axes) {
    p.require(axis >= 0 && size_t(axis) < x.rank(), "no such axis");
    isReduced[size_t(axis)] = true;
  }
  Extents expected, kept, gone;
  Operand sorted = x;
  sorted.extents.clear();
  sorted.strides.clear();
  for (bool reduced : {false, true})
    for (size_t axis = 0; axis < x.rank(); axis++)
      if (isReduced[axis] == reduced) {
        sorted.extents.push_back(x.extents[axis]);
        sorted.strides.push_back(x.strides[axis]);
        (reduced ? gone : kept).push_back(x.extents[axis]);
      }
  for (size_t axis = 0; axis < x.rank(); axis++)
    if (!isReduced[axis] || keep) expected.push_back(isReduced[axis] ? 1 : x.extents[axis]);
  p.requireShape(z, expected, "out");
  size_t length = size_t(product(gone));
  p.workspace = 257;
  p.kernel = [=] {
    auto values = read(sorted);
    std::vector<float> results;
    for (size_t start = 0; start < values.size(); start += length)
      results.push_back(combine(std::vector<float>(values.begin() + long(start), values.begin() + long(start + length))));
    write(z, results);
  };
}

static float blockwiseSum(const std::vector<float> &values) {
  float total = 0;
  for (size_t start = 0; start < values.size(); start += 64) {
    float part = 0;
    for (size_t i = start; i < std::min(start + 64, values.size()); i++) part += values[i];
    total += part;
  }
  return total;
}

EMULATOR_PHASE_ONE(aclnnMean, const aclTensor *self, const aclIntArray *dim, bool keepDim, aclDataType dtype, aclTensor *out) {
  return prepare("aclnnMean", workspaceSize, executor, [&](Preparation &p) {
    Operand x = p.tensor(self, "self"), z = p.result(out, "out");
    p.requireFloating(x, "self");
    p.require(z.type == dtype, "out has another type than asked for");
    reduce(p, x, z, p.integers(dim, "dim"), keepDim,
           [](const std::vector<float> &values) { return blockwiseSum(values) / float(values.size()); });
  });
}
EMULATOR_PHASE_TWO(aclnnMean);

EMULATOR_PHASE_ONE(aclnnReduceSum, const aclTensor *self, const aclIntArray *dims, bool keepDims, aclDataType dtype,
          aclTensor *out) {
  return prepare("aclnnReduceSum", workspaceSize, executor, [&](Preparation &p) {
    Operand x = p.tensor(self, "self"), z = p.result(out, "out");
    p.requireFloating(x, "self");
    p.require(z.type == dtype, "out has another type than asked for");
    reduce(p, x, z, p.integers(dims, "dims"), keepDims, blockwiseSum);
  });
}
EMULATOR_PHASE_TWO(aclnnReduceSum);

EMULATOR_PHASE_ONE(aclnnAll, const aclTensor *self, const aclIntArray *dim, bool keepdim, aclTensor *out) {
  return prepare("aclnnAll", workspaceSize, executor, [&](Preparation &p) {
    Operand x = p.tensor(self, "self"), z = p.result(out, "out");
    p.require(z.type == ACL_BOOL || z.type == ACL_UINT8, "out holds neither booleans nor bytes");
    reduce(p, x, z, p.integers(dim, "dim"), keepdim, [](const std::vector<float> &values) {
      return std::all_of(values.begin(), values.end(), [](float value) { return value != 0; }) ? 1.0f : 0.0f;
    });
  });
}
EMULATOR_PHASE_TWO(aclnnAll);
