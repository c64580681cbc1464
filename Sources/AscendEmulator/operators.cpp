// Descriptors, the two phases, and elements behind strides.
#include "operators.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <thread>

using namespace emulator;

struct aclOpExecutor {
  Preparation preparation;
};

namespace emulator {

int64_t product(const Extents &extents) {
  int64_t count = 1;
  for (auto extent : extents) count *= extent;
  return count;
}

size_t byteCount(aclDataType type) {
  switch (type) {
    case ACL_FLOAT: case ACL_INT32: return 4;
    case ACL_FLOAT16: case ACL_BF16: return 2;
    case ACL_INT64: return 8;
    case ACL_INT8: case ACL_UINT8: case ACL_BOOL: return 1;
    default: return 0;
  }
}

std::string text(const Extents &extents) {
  std::string all = "[";
  for (auto extent : extents) all += (all.size() > 1 ? ", " : "") + std::to_string(extent);
  return all + "]";
}

bool Operand::isDense() const {
  int64_t expected = 1;
  for (size_t axis = rank(); axis-- > 0;) {
    if (extents[axis] == 1) continue;
    if (strides[axis] != expected) return false;
    expected *= extents[axis];
  }
  return true;
}

Operand Operand::broadcast(const Extents &to) const {
  Operand wide = *this;
  wide.extents = to;
  wide.strides.assign(to.size(), 0);
  for (size_t axis = 0; axis < rank(); axis++) {
    size_t place = to.size() - rank() + axis;
    if (extents[axis] == to[place]) wide.strides[place] = strides[axis];
  }
  return wide;
}

// MARK: Elements

static float widened(const std::byte *bytes, aclDataType type) {
  switch (type) {
    case ACL_FLOAT: { float value; std::memcpy(&value, bytes, 4); return value; }
    case ACL_FLOAT16: { _Float16 value; std::memcpy(&value, bytes, 2); return float(value); }
    case ACL_BF16: {
      uint16_t half;
      std::memcpy(&half, bytes, 2);
      uint32_t bits = uint32_t(half) << 16;
      float value;
      std::memcpy(&value, &bits, 4);
      return value;
    }
    case ACL_INT32: { int32_t value; std::memcpy(&value, bytes, 4); return float(value); }
    case ACL_INT64: { int64_t value; std::memcpy(&value, bytes, 8); return float(value); }
    case ACL_INT8: return float(int8_t(bytes[0]));
    default: return float(uint8_t(bytes[0]));
  }
}

// Rounds to nearest, ties to even, as the device stores.
static void narrow(float value, std::byte *bytes, aclDataType type) {
  switch (type) {
    case ACL_FLOAT: std::memcpy(bytes, &value, 4); break;
    case ACL_FLOAT16: { _Float16 half = _Float16(value); std::memcpy(bytes, &half, 2); break; }
    case ACL_BF16: {
      uint32_t bits;
      std::memcpy(&bits, &value, 4);
      uint16_t half = std::isnan(value) ? 0x7FC0 : uint16_t((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
      std::memcpy(bytes, &half, 2);
      break;
    }
    case ACL_INT32: { int32_t whole = int32_t(value); std::memcpy(bytes, &whole, 4); break; }
    case ACL_INT64: { int64_t whole = int64_t(value); std::memcpy(bytes, &whole, 8); break; }
    case ACL_INT8: { int8_t whole = int8_t(value); std::memcpy(bytes, &whole, 1); break; }
    case ACL_BOOL: { uint8_t flag = value != 0; std::memcpy(bytes, &flag, 1); break; }
    default: { uint8_t whole = uint8_t(value); std::memcpy(bytes, &whole, 1); break; }
  }
}

// Calls the body with the position of every row along the last axis, in elements from the storage's start.
static void forEachRow(const Operand &operand, const std::function<void(int64_t position, int64_t row)> &body) {
  if (operand.count() == 0) return;
  size_t outer = operand.rank() == 0 ? 0 : operand.rank() - 1;
  std::vector<int64_t> index(outer);
  int64_t position = operand.offset, row = 0;
  while (true) {
    body(position, row++);
    size_t axis = outer;
    while (axis-- > 0) {
      position += operand.strides[axis];
      if (++index[axis] < operand.extents[axis]) break;
      position -= operand.strides[axis] * operand.extents[axis];
      index[axis] = 0;
    }
    if (axis == size_t(-1)) return;
  }
}

static std::byte *storage(const Operand &operand) {
  return devices().bytes(operand.base, size_t(operand.stored) * byteCount(operand.type), "an operand");
}

std::vector<float> read(const Operand &operand) {
  std::vector<float> values(size_t(operand.count()));
  const std::byte *bytes = storage(operand);
  int64_t length = operand.rank() == 0 ? 1 : operand.last();
  int64_t stride = operand.rank() == 0 ? 1 : operand.strides.back();
  size_t size = byteCount(operand.type);
  forEachRow(operand, [&](int64_t position, int64_t row) {
    float *target = values.data() + row * length;
    for (int64_t i = 0; i < length; i++) target[i] = widened(bytes + size_t(position + i * stride) * size, operand.type);
  });
  return values;
}

void write(const Operand &operand, const std::vector<float> &values) {
  std::byte *bytes = storage(operand);
  int64_t length = operand.rank() == 0 ? 1 : operand.last();
  int64_t stride = operand.rank() == 0 ? 1 : operand.strides.back();
  size_t size = byteCount(operand.type);
  forEachRow(operand, [&](int64_t position, int64_t row) {
    const float *source = values.data() + row * length;
    for (int64_t i = 0; i < length; i++) narrow(source[i], bytes + size_t(position + i * stride) * size, operand.type);
  });
}

std::vector<float> numbers(const std::vector<std::byte> &bytes, aclDataType type) {
  std::vector<float> values(bytes.size() / byteCount(type));
  for (size_t i = 0; i < values.size(); i++) values[i] = widened(bytes.data() + i * byteCount(type), type);
  return values;
}

std::vector<std::byte> stored(const std::vector<float> &values, aclDataType type) {
  std::vector<std::byte> bytes(values.size() * byteCount(type));
  for (size_t i = 0; i < values.size(); i++) narrow(values[i], bytes.data() + i * byteCount(type), type);
  return bytes;
}

void parallel(int64_t count, int64_t operations, const std::function<void(int64_t)> &body) {
  int64_t threads = std::min<int64_t>(count, std::max(1u, std::thread::hardware_concurrency()));
  if (threads < 2 || operations < (1 << 22)) {
    for (int64_t i = 0; i < count; i++) body(i);
    return;
  }
  std::vector<std::thread> workers;
  for (int64_t t = 0; t < threads; t++)
    workers.emplace_back([=, &body] {
      for (int64_t i = t * count / threads; i < (t + 1) * count / threads; i++) body(i);
    });
  for (auto &worker : workers) worker.join();
}

// MARK: Phase one

static void requireAlive(const void *handle, const char *kind, const char *what) {
  if (!handle) throw Refusal{nullOperand, std::string(what) + " is missing"};
  auto found = devices().objects.find(handle);
  if (found == devices().objects.end() || found->second != kind)
    throw Refusal{invalidOperand, std::string(what) + " is no living " + kind};
}

Operand Preparation::tensor(const aclTensor *tensor, const char *what) {
  requireAlive(tensor, "tensor", what);
  Operand operand{*tensor};
  require(operand.rank() <= 8, std::string(what) + " has more than 8 axes");
  if (operand.count() > 0) {
    require(reinterpret_cast<uintptr_t>(tensor->base) % 32 == 0, std::string(what) + " is not aligned to 32 bytes");
    devices().bytes(tensor->base, size_t(tensor->stored) * byteCount(tensor->type), what);
    require(devices().find(tensor->base)->second.device == currentDevice(), std::string(what) + " is another device's");
    int64_t lastElement = tensor->offset;
    for (size_t axis = 0; axis < operand.rank(); axis++) {
      require(operand.strides[axis] >= 0, std::string(what) + " has a negative stride");
      lastElement += (operand.extents[axis] - 1) * operand.strides[axis];
    }
    require(tensor->offset >= 0 && lastElement < tensor->stored, std::string(what) + " reaches beyond its storage");
  }
  handles.push_back(tensor);
  described.emplace_back(tensor, *tensor);
  operands.push_back(operand);
  return operand;
}

Operand Preparation::result(const aclTensor *tensor, const char *what) {
  Operand operand = this->tensor(tensor, what);
  operands.back().isWritten = operand.isWritten = true;
  return operand;
}

std::vector<Operand> Preparation::list(const aclTensorList *list, const char *what) {
  requireAlive(list, "tensor list", what);
  handles.push_back(list);
  std::vector<Operand> members;
  for (auto *member : list->members) members.push_back(tensor(member, what));
  return members;
}

double Preparation::number(const aclScalar *scalar, const char *what) {
  requireAlive(scalar, "scalar", what);
  handles.push_back(scalar);
  return scalar->value;
}

Extents Preparation::integers(const aclIntArray *array, const char *what) {
  requireAlive(array, "array", what);
  handles.push_back(array);
  return array->values;
}

void Preparation::require(bool holds, const std::string &rule) const {
  if (!holds) throw Refusal{invalidOperand, rule};
}

void Preparation::requireFloating(const Operand &operand, const char *what) const {
  require(operand.type == ACL_BF16 || operand.type == ACL_FLOAT16 || operand.type == ACL_FLOAT,
          std::string(what) + " holds no floating-point numbers");
}

void Preparation::requireShape(const Operand &operand, const Extents &extents, const char *what) const {
  require(operand.extents == extents,
          std::string(what) + " is " + text(operand.extents) + ", not " + text(extents));
}

void Preparation::requireSameType(const Operand &a, const Operand &b, const char *what) const {
  require(a.type == b.type, std::string(what) + " has another type");
}

aclnnStatus prepare(
    const char *name, uint64_t *workspaceSize, aclOpExecutor **executor, const std::function<void(Preparation &)> &body) {
  return guarded(name, [&] {
    currentDevice();
    if (!workspaceSize || !executor) throw Refusal{nullOperand, "no place for what phase one gives"};
    Preparation preparation;
    preparation.name = name;
    body(preparation);
    if (devices().isDry) preparation.workspace = estimatedWorkspace(preparation);
    *workspaceSize = preparation.workspace;
    *executor = new aclOpExecutor{std::move(preparation)};
    devices().objects[*executor] = "prepared operator";
  });
}

// MARK: Phase two

aclnnStatus launch(
    const char *name, void *workspace, uint64_t workspaceSize, aclOpExecutor *executor, aclrtStream handle) {
  return guarded(name, [&] {
    Devices &all = devices();
    requireAlive(executor, "prepared operator", "the executor");
    // Used up, also when something below refuses.
    Preparation preparation = std::move(executor->preparation);
    all.objects.erase(executor);
    delete executor;
    Stream &stream = streamOf(handle);
    preparation.require(preparation.name == name, "the executor is of " + preparation.name);
    for (auto *object : preparation.handles)
      preparation.require(all.objects.count(object) > 0, "an operand was destroyed between the phases");
    for (auto &[object, before] : preparation.described)
      preparation.require(*static_cast<const aclTensor *>(object) == before, "an operand was changed between the phases");
    Task task{preparation.name, {}, nullptr};
    auto touch = [&](const Operand &operand) {
      if (operand.count() == 0) return;
      int64_t last = operand.offset;
      for (size_t axis = 0; axis < operand.rank(); axis++) last += (operand.extents[axis] - 1) * operand.strides[axis];
      size_t size = byteCount(operand.type);
      all.bytes(operand.base, size_t(operand.stored) * size, "an operand");
      auto *start = static_cast<const std::byte *>(operand.base) + size_t(operand.offset) * size;
      task.accesses.push_back(all.access(start, size_t(last - operand.offset + 1) * size, operand.isWritten));
    };
    if (preparation.workspace > 0) {
      if (!workspace) throw Refusal{nullOperand, "no workspace"};
      preparation.require(workspaceSize >= preparation.workspace, "less workspace than phase one asked for");
      all.bytes(workspace, workspaceSize, "the workspace");
      auto first = reinterpret_cast<uintptr_t>(workspace), last = first + workspaceSize;
      for (auto &operand : preparation.operands) {
        auto start = reinterpret_cast<uintptr_t>(operand.base), end = start + size_t(operand.stored) * byteCount(operand.type);
        preparation.require(operand.count() == 0 || end <= first || last <= start, "the workspace overlaps an operand");
      }
      task.accesses.push_back(all.access(workspace, workspaceSize, true));
    }
    for (auto &operand : preparation.operands) touch(operand);
    if (all.isDry) account(preparation);
    task.body = [preparation = std::move(preparation), workspace, &all] {
      all.runs[preparation.name]++;
      if (all.kernelsUntilFailure > 0 && --all.kernelsUntilFailure == 0)
        throw Refusal{kernelFailed, "the kernel failed, on demand"};
      // Whatever stood in the workspace is gone.
      if (preparation.workspace > 0)
        std::memset(all.bytes(workspace, preparation.workspace, "the workspace"), 0xFF, preparation.workspace);
      preparation.kernel();
    };
    all.add(stream, std::move(task));
  });
}

}  // namespace emulator

// MARK: Descriptors

EMULATOR_EXPORT aclTensor *aclCreateTensor(
    const int64_t *extents, uint64_t rank, aclDataType type, const int64_t *strides, int64_t offset, aclFormat format,
    const int64_t *stored, uint64_t storedRank, void *base) {
  aclTensor *made = nullptr;
  guarded("aclCreateTensor", [&] {
    if (byteCount(type) == 0) throw Refusal{invalidOperand, "a type that an Atlas A2 does not have"};
    if ((!extents && rank) || !stored) throw Refusal{nullOperand, "no extents"};
    made = new aclTensor{Extents(extents, extents + rank), {}, offset, product(Extents(stored, stored + storedRank)),
                         type, format, base};
    int64_t stride = 1;
    made->strides.resize(rank);
    for (size_t axis = rank; axis-- > 0;) {
      made->strides[axis] = strides ? strides[axis] : stride;
      stride *= extents[axis];
    }
    devices().objects[made] = "tensor";
  });
  return made;
}

// The same operand elsewhere; between the phases of an operator it is refused when phase two comes.
EMULATOR_EXPORT aclnnStatus aclSetRawTensorAddr(aclTensor *tensor, void *base) {
  return guarded("aclSetRawTensorAddr", [&] {
    requireAlive(tensor, "tensor", "the operand");
    tensor->base = base;
  });
}

EMULATOR_EXPORT aclTensorList *aclCreateTensorList(const aclTensor *const *members, uint64_t count) {
  aclTensorList *made = nullptr;
  guarded("aclCreateTensorList", [&] {
    for (uint64_t i = 0; i < count; i++) requireAlive(members[i], "tensor", "a member");
    made = new aclTensorList{std::vector<const aclTensor *>(members, members + count)};
    devices().objects[made] = "tensor list";
  });
  return made;
}

EMULATOR_EXPORT aclScalar *aclCreateScalar(void *value, aclDataType type) {
  aclScalar *made = nullptr;
  guarded("aclCreateScalar", [&] {
    if (!value) throw Refusal{nullOperand, "no value"};
    if (type != ACL_FLOAT) throw Refusal{invalidOperand, "float32 leaves no doubt about a scalar's type"};
    made = new aclScalar{*static_cast<float *>(value), type};
    devices().objects[made] = "scalar";
  });
  return made;
}

EMULATOR_EXPORT aclIntArray *aclCreateIntArray(const int64_t *values, uint64_t count) {
  aclIntArray *made = nullptr;
  guarded("aclCreateIntArray", [&] {
    made = new aclIntArray{Extents(values, values + count)};
    devices().objects[made] = "array";
  });
  return made;
}

template <typename Object>
static aclnnStatus destroy(const char *function, const Object *object, const char *kind) {
  return guarded(function, [&] {
    if (!object) return;
    requireAlive(object, kind, "the object");
    devices().objects.erase(object);
    delete object;
  });
}

EMULATOR_EXPORT aclnnStatus aclDestroyTensor(const aclTensor *tensor) {
  return destroy("aclDestroyTensor", tensor, "tensor");
}

EMULATOR_EXPORT aclnnStatus aclDestroyTensorList(const aclTensorList *list) {
  return guarded("aclDestroyTensorList", [&] {
    if (!list) return;
    requireAlive(list, "tensor list", "the list");
    // Members go with their list.
    for (auto *member : list->members) {
      requireAlive(member, "tensor", "a member");
      devices().objects.erase(member);
      delete member;
    }
    devices().objects.erase(list);
    delete list;
  });
}

EMULATOR_EXPORT aclnnStatus aclDestroyScalar(const aclScalar *scalar) {
  return destroy("aclDestroyScalar", scalar, "scalar");
}

EMULATOR_EXPORT aclnnStatus aclDestroyIntArray(const aclIntArray *array) {
  return destroy("aclDestroyIntArray", array, "array");
}

EMULATOR_EXPORT aclnnStatus aclDestroyAclOpExecutor(aclOpExecutor *executor) {
  return destroy("aclDestroyAclOpExecutor", executor, "prepared operator");
}

EMULATOR_PROTOTYPE(aclCreateTensor);
EMULATOR_PROTOTYPE(aclSetRawTensorAddr);
EMULATOR_PROTOTYPE(aclCreateTensorList);
EMULATOR_PROTOTYPE(aclCreateScalar);
EMULATOR_PROTOTYPE(aclCreateIntArray);
EMULATOR_PROTOTYPE(aclDestroyTensor);
EMULATOR_PROTOTYPE(aclDestroyTensorList);
EMULATOR_PROTOTYPE(aclDestroyScalar);
EMULATOR_PROTOTYPE(aclDestroyIntArray);
EMULATOR_PROTOTYPE(aclDestroyAclOpExecutor);
