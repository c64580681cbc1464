// The state of the devices, memory behind addresses, streams that run late.
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "emulator.h"
#include "include/ascend_emulator.h"

namespace emulator {

namespace {

thread_local int threadDevice = -1;
thread_local std::string message;
thread_local std::string handedOut;
thread_local Devices *threadDevices = nullptr;

// Address space for device memory, never given out twice: what has been freed stays recognizable.
constexpr size_t addressSpace = size_t(1) << 40;

uintptr_t reserve() {
  void *start = mmap(nullptr, addressSpace, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return start == MAP_FAILED ? 0 : reinterpret_cast<uintptr_t>(start);
}

}  // namespace

Devices &devices() {
  if (threadDevices) return *threadDevices;
  static Devices *const shared = [] {
    auto *made = new Devices;
    made->nextAddress = reserve();
    made->lastAddress = made->nextAddress + addressSpace;
    return made;
  }();
  return *shared;
}

Devices *exchangeThreadDevices(Devices *own) {
  threadDevice = -1;
  return std::exchange(threadDevices, own);
}

void Devices::book(int device, size_t size) {
  used[size_t(device)] += size;
  peak[size_t(device)] = std::max(peak[size_t(device)], used[size_t(device)]);
}

std::pair<const uintptr_t, Allocation> *Devices::find(const void *address) {
  auto value = reinterpret_cast<uintptr_t>(address);
  auto next = memory.upper_bound(value);
  if (next == memory.begin()) return nullptr;
  auto found = std::prev(next);
  return value < found->first + found->second.size ? &*found : nullptr;
}

std::byte *Devices::bytes(const void *address, size_t size, const std::string &what) {
  auto *found = find(address);
  if (!found) throw Refusal{wrongMemory, what + ": not in device memory, or freed"};
  size_t offset = reinterpret_cast<uintptr_t>(address) - found->first;
  if (offset + size > found->second.size) throw Refusal{wrongMemory, what + ": beyond the end of its memory"};
  if (isDry) return nullptr;
  return found->second.bytes.data() + offset;
}

bool Devices::isPinned(const void *address, size_t size) const {
  auto value = reinterpret_cast<uintptr_t>(address);
  auto next = pinned.upper_bound(value);
  if (next == pinned.begin()) return false;
  auto found = std::prev(next);
  return value + size <= found->first + found->second.size();
}

void Devices::run(Stream &stream, uint64_t position) {
  while (stream.done < position && !stream.tasks.empty()) {
    Task task = std::move(stream.tasks.front());
    stream.tasks.pop_front();
    stream.done++;
    try {
      if (!isDry) task.body();
    } catch (const Refusal &refusal) {
      std::string text = task.name + ", while running: " + refusal.text;
      if (refusal.status != kernelFailed) violations.push_back(text);
      if (stream.failure == success) {
        stream.failure = kernelFailed;
        stream.reason = text;
      }
    }
  }
}

int currentDevice() {
  if (!devices().isInitialized) throw Refusal{uninitialized, "aclInit has not been called"};
  if (threadDevice < 0) throw Refusal{noContext, "the thread has set no device"};
  return threadDevice;
}

Stream &streamOf(aclrtStream handle) {
  auto *stream = static_cast<Stream *>(handle);
  if (!devices().streams.count(stream)) throw Refusal{foreignStream, "no such stream"};
  if (stream->device != currentDevice()) throw Refusal{foreignStream, "the stream is another device's"};
  return *stream;
}

void setMessage(const std::string &text) { message = text; }

void recordViolation(const std::string &text) {
  setMessage(text);
  devices().violations.push_back(text);
}

int guarded(const char *function, const std::function<void()> &body) {
  std::lock_guard<std::recursive_mutex> held(devices().lock);
  try {
    body();
    return success;
  } catch (const Refusal &refusal) {
    std::string text = std::string(function) + ": " + refusal.text;
    // Running out of memory and failing on demand break no rule.
    if (refusal.status == outOfMemory || refusal.status == kernelFailed) {
      setMessage(text);
    } else {
      recordViolation(text);
    }
    return refusal.status;
  }
}

}  // namespace emulator

using namespace emulator;

// MARK: Starting

EMULATOR_EXPORT aclError aclInit(const char *) {
  std::lock_guard<std::recursive_mutex> held(devices().lock);
  if (devices().isInitialized) return repeatedInitialization;
  devices().isInitialized = true;
  return success;
}

EMULATOR_EXPORT aclError aclFinalize() {
  return guarded("aclFinalize", [] {
    if (!devices().isInitialized) throw Refusal{uninitialized, "aclInit has not been called"};
    char text[400];
    if (long count = ascend_emulator_leaks(text, sizeof text))
      throw Refusal{invalidParameter, std::to_string(count) + " things are alive, the first " + std::string(text).substr(0, std::string(text).find('\n'))};
    devices().isInitialized = false;
  });
}

EMULATOR_EXPORT const char *aclGetRecentErrMsg() {
  if (message.empty()) return nullptr;
  handedOut = std::move(message);
  message.clear();
  return handedOut.c_str();
}

// MARK: Devices

EMULATOR_EXPORT const char *aclrtGetSocName() { return "Ascend910B-emulated"; }

EMULATOR_EXPORT aclError aclrtGetDeviceCount(uint32_t *count) {
  return guarded("aclrtGetDeviceCount", [&] {
    if (!devices().isInitialized) throw Refusal{uninitialized, "aclInit has not been called"};
    *count = uint32_t(devices().count);
  });
}

EMULATOR_EXPORT aclError aclrtSetDevice(int32_t device) {
  return guarded("aclrtSetDevice", [&] {
    if (!devices().isInitialized) throw Refusal{uninitialized, "aclInit has not been called"};
    if (device < 0 || device >= devices().count) throw Refusal{invalidDevice, "no such device"};
    threadDevice = device;
    devices().references[device]++;
  });
}

EMULATOR_EXPORT aclError aclrtResetDevice(int32_t device) {
  return guarded("aclrtResetDevice", [&] {
    if (devices().references[device] == 0) throw Refusal{invalidDevice, "the device was not set"};
    if (--devices().references[device] > 0) return;
    for (auto *stream : devices().streams)
      if (stream->device == device) throw Refusal{invalidParameter, "the device still has streams"};
    for (auto *event : devices().events)
      if (event->device == device) throw Refusal{invalidParameter, "the device still has events"};
    threadDevice = -1;
  });
}

EMULATOR_EXPORT aclError aclrtGetMemInfo(aclrtMemAttr attribute, size_t *free, size_t *total) {
  return guarded("aclrtGetMemInfo", [&] {
    int device = currentDevice();
    if (attribute != ACL_HBM_MEM) throw Refusal{invalidParameter, "the device has HBM only"};
    *total = devices().capacity;
    *free = devices().capacity - devices().used[size_t(device)];
  });
}

// MARK: Control

void ascend_emulator_reset(int count, size_t bytes) {
  std::lock_guard<std::recursive_mutex> held(devices().lock);
  Devices &all = devices();
  all.isInitialized = false;
  all.count = count;
  all.capacity = bytes;
  all.used.assign(size_t(count), 0);
  all.peak.assign(size_t(count), 0);
  all.references.clear();
  all.memory.clear();
  all.pinned.clear();
  all.streams.clear();
  all.events.clear();
  all.objects.clear();
  all.runs.clear();
  all.violations.clear();
  all.allocationsUntilFailure = all.kernelsUntilFailure = 0;
  threadDevice = -1;
}

void ascend_emulator_fail_allocation(long k) {
  std::lock_guard<std::recursive_mutex> held(devices().lock);
  devices().allocationsUntilFailure = k;
}

void ascend_emulator_fail_kernel(long n) {
  std::lock_guard<std::recursive_mutex> held(devices().lock);
  devices().kernelsUntilFailure = n;
}

static long list(const std::vector<std::string> &lines, char *text, size_t capacity) {
  std::string all;
  for (auto &line : lines) all += line + "\n";
  if (capacity > 0) {
    size_t length = std::min(all.size(), capacity - 1);
    std::memcpy(text, all.data(), length);
    text[length] = 0;
  }
  return long(lines.size());
}

long ascend_emulator_violations(char *text, size_t capacity) {
  std::lock_guard<std::recursive_mutex> held(devices().lock);
  return list(devices().violations, text, capacity);
}

long ascend_emulator_leaks(char *text, size_t capacity) {
  std::lock_guard<std::recursive_mutex> held(devices().lock);
  std::vector<std::string> lines;
  for (auto &[address, block] : devices().memory) lines.push_back(std::to_string(block.size) + " bytes of device memory");
  for (auto &[address, block] : devices().pinned) lines.push_back(std::to_string(block.size()) + " bytes of pinned memory");
  for (size_t i = 0; i < devices().streams.size(); i++) lines.push_back("a stream");
  for (size_t i = 0; i < devices().events.size(); i++) lines.push_back("an event");
  for (auto &[object, kind] : devices().objects) lines.push_back(kind);
  return list(lines, text, capacity);
}

long ascend_emulator_runs(const char *name) {
  std::lock_guard<std::recursive_mutex> held(devices().lock);
  auto found = devices().runs.find(name);
  return found == devices().runs.end() ? 0 : found->second;
}

EMULATOR_PROTOTYPE(aclInit);
EMULATOR_PROTOTYPE(aclFinalize);
EMULATOR_PROTOTYPE(aclGetRecentErrMsg);
EMULATOR_PROTOTYPE(aclrtGetSocName);
EMULATOR_PROTOTYPE(aclrtGetDeviceCount);
EMULATOR_PROTOTYPE(aclrtSetDevice);
EMULATOR_PROTOTYPE(aclrtResetDevice);
EMULATOR_PROTOTYPE(aclrtGetMemInfo);
