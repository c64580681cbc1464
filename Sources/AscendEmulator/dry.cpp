// Devices that keep shapes and accounts only, for dry runs at any size: calls are checked and allocations booked as ever, but
// memory has no contents and nothing runs.
#include <cstring>
#include <memory>
#include <utility>

#include "include/ascend_emulator.h"
#include "operators.h"

using namespace emulator;

namespace {

size_t bytes(const Operand &operand) { return size_t(operand.count()) * byteCount(operand.type); }

// Operators that want dense operands copy others first.
size_t copies(const Preparation &preparation) {
  size_t total = 0;
  if (!preparation.takesGaps)
    for (auto &operand : preparation.operands)
      if (!operand.isDense()) total += bytes(operand);
  return total;
}

}  // namespace

namespace emulator {

size_t estimatedWorkspace(const Preparation &preparation) {
  return size_t(preparation.workspace) + preparation.working + copies(preparation);
}

void account(const Preparation &preparation) {
  size_t read = 0, written = 0, copied = copies(preparation);
  for (auto &operand : preparation.operands) (operand.isWritten ? written : read) += bytes(operand);
  auto key = std::tuple(preparation.name, preparation.operations, read + copied, written + copied,
                        size_t(preparation.workspace));
  devices().accounts[key]++;
}

}  // namespace emulator

void ascend_emulator_begin_dry(int count, size_t size) {
  ascend_emulator_end_dry();
  auto made = std::make_unique<Devices>();
  made->isDry = true;
  made->count = count;
  made->capacity = size;
  made->used.assign(size_t(count), 0);
  made->peak.assign(size_t(count), 0);
  // Nobody reads or writes here, so addresses are numbers: a range that programs do not have, and a pebibyte of it.
  made->nextAddress = uintptr_t(1) << 56;
  made->lastAddress = made->nextAddress + (uintptr_t(1) << 50);
  exchangeThreadDevices(made.release());
}

void ascend_emulator_end_dry(void) { delete exchangeThreadDevices(nullptr); }

long ascend_emulator_take_accounts(ascendKernelAccount *accounts, long capacity) {
  auto &all = devices().accounts;
  long count = 0;
  while (count < capacity && !all.empty()) {
    auto &[key, calls] = *all.begin();
    auto &[name, operations, read, written, workspace] = key;
    auto &target = accounts[count++];
    target = {{}, calls, operations, read, written, workspace};
    std::strncpy(target.name, name.c_str(), sizeof target.name - 1);
    all.erase(all.begin());
  }
  return count;
}

size_t ascend_emulator_take_peak(int device) {
  auto &all = devices();
  return std::exchange(all.peak.at(size_t(device)), all.used.at(size_t(device)));
}

static_assert(std::is_same_v<decltype(&ascend_emulator_begin_dry), ascend_emulator_begin_dryFunction>);
static_assert(std::is_same_v<decltype(&ascend_emulator_end_dry), ascend_emulator_end_dryFunction>);
static_assert(std::is_same_v<decltype(&ascend_emulator_take_accounts), ascend_emulator_take_accountsFunction>);
static_assert(std::is_same_v<decltype(&ascend_emulator_take_peak), ascend_emulator_take_peakFunction>);
