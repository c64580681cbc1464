// How an emulated operator is written: phase one takes its operands through a `Preparation`, which checks them, and leaves
// a kernel; phase two puts the kernel on the stream, and it runs when somebody waits.
#pragma once

#include <string>
#include <type_traits>
#include <vector>

#include "emulator.h"

// What the program's handles point to.
struct aclTensor {
  std::vector<int64_t> extents, strides;
  int64_t offset, stored;
  aclDataType type;
  aclFormat format;
  const void *base;
  bool operator==(const aclTensor &) const = default;
};
struct aclTensorList {
  std::vector<const aclTensor *> members;
};
struct aclScalar {
  double value;
  aclDataType type;
};
struct aclIntArray {
  std::vector<int64_t> values;
};

namespace emulator {

using Extents = std::vector<int64_t>;

int64_t product(const Extents &extents);
size_t byteCount(aclDataType type);
std::string text(const Extents &extents);

// An operand as phase one saw it.
struct Operand : aclTensor {
  bool isWritten = false;
  size_t rank() const { return extents.size(); }
  int64_t count() const { return product(extents); }
  int64_t last() const { return extents.back(); }
  bool isDense() const;
  // The same elements, repeated to a larger shape.
  Operand broadcast(const Extents &to) const;
};

// Access to operands while a kernel runs: elements as numbers, in row-major order, however they are stored.
std::vector<float> read(const Operand &operand);
void write(const Operand &operand, const std::vector<float> &values);

// Dense elements as numbers, and numbers as a device stores them.
std::vector<float> numbers(const std::vector<std::byte> &bytes, aclDataType type);
std::vector<std::byte> stored(const std::vector<float> &values, aclDataType type);

// Calls the body for 0..<count, on several threads where that pays.
void parallel(int64_t count, int64_t operations, const std::function<void(int64_t)> &body);

// Phase one in the making.
class Preparation {
 public:
  std::string name;
  std::vector<Operand> operands;
  std::vector<std::pair<const void *, aclTensor>> described;
  std::vector<const void *> handles;
  std::function<void()> kernel;
  // Odd on purpose, so that nobody counts on whole pages.
  uint64_t workspace = 0;
  // For the accounts of dry runs: multiplications and additions; what a device probably works in, beside dense copies of
  // operands with gaps; whether the kernel takes those as they are.
  double operations = 0;
  size_t working = 0;
  bool takesGaps = false;

  Operand tensor(const aclTensor *tensor, const char *what);
  // An operand that the kernel writes.
  Operand result(const aclTensor *tensor, const char *what);
  std::vector<Operand> list(const aclTensorList *list, const char *what);
  double number(const aclScalar *scalar, const char *what);
  Extents integers(const aclIntArray *array, const char *what);

  // Refuses unless a rule holds.
  void require(bool holds, const std::string &rule) const;
  // Floating-point operands: bfloat16, float16 or float32.
  void requireFloating(const Operand &operand, const char *what) const;
  void requireShape(const Operand &operand, const Extents &extents, const char *what) const;
  void requireSameType(const Operand &a, const Operand &b, const char *what) const;
};

// What a device may work in for an operator: an estimate, since CANN does not document its sizes.
size_t estimatedWorkspace(const Preparation &preparation);
// Writes a kernel into the accounts of the calling thread's devices.
void account(const Preparation &preparation);

aclnnStatus prepare(
    const char *name, uint64_t *workspaceSize, aclOpExecutor **executor, const std::function<void(Preparation &)> &body);
aclnnStatus launch(
    const char *name, void *workspace, uint64_t workspaceSize, aclOpExecutor *executor, aclrtStream stream);

}  // namespace emulator

// Phase one of an operator: its own parameters; the two that all have come behind them.
#define EMULATOR_PHASE_ONE(name, ...) \
  EMULATOR_EXPORT aclnnStatus name##GetWorkspaceSize(__VA_ARGS__, uint64_t *workspaceSize, aclOpExecutor **executor)

// Phase two of an operator, and the proof that both phases have the types that the program calls them by.
#define EMULATOR_PHASE_TWO(name)                                                                                     \
  EMULATOR_EXPORT aclnnStatus name(void *workspace, uint64_t size, aclOpExecutor *executor, aclrtStream stream) {    \
    return emulator::launch(#name, workspace, size, executor, stream);                                               \
  }                                                                                                                  \
  static_assert(std::is_same_v<decltype(&name##GetWorkspaceSize), name##Function>, #name);                           \
  static_assert(std::is_same_v<decltype(&name), aclnnRunFunction>, #name)
