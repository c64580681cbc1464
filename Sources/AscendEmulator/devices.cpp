// The state of the devices, memory behind addresses, streams that run late.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
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

// Address space for device memory, never given out twice: what has been freed stays recognizable. Tests load hundreds of
// emulators into one process, which has room for 512 of this size.
constexpr size_t addressSpace = size_t(1) << 38;

uintptr_t reserve() {
  void *start = mmap(nullptr, addressSpace, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return start == MAP_FAILED ? 0 : reinterpret_cast<uintptr_t>(start);
}

// A number among the variables of the process, for programs that do not know that their devices are not there.
long setting(const char *name, long otherwise) {
  const char *text = std::getenv((std::string("HYVIDEO_ASCEND_EMULATOR_") + name).c_str());
  return text && *text ? std::strtol(text, nullptr, 10) : otherwise;
}

}  // namespace

Devices &devices() {
  if (threadDevices) return *threadDevices;
  static Devices *const shared = [] {
    auto *made = new Devices;
    made->nextAddress = reserve();
    made->lastAddress = made->nextAddress + addressSpace;
    made->count = int(setting("DEVICES", made->count));
    made->used.assign(size_t(made->count), 0);
    made->peak = made->used;
    made->capacity = size_t(setting("MEGABYTES", long(made->capacity >> 20))) << 20;
    made->allocationsUntilFailure = setting("FAIL_ALLOCATION", 0);
    made->pinnedUntilFailure = setting("FAIL_PINNED", 0);
    made->kernelsUntilFailure = setting("FAIL_KERNEL", 0);
    made->collectivesUntilFailure = setting("FAIL_COLLECTIVE", 0);
    if (std::getenv("HYVIDEO_ASCEND_EMULATOR_REPORT")) std::atexit(reportAtExit);
    return made;
  }();
  return *shared;
}

Devices *exchangeThreadDevices(Devices *own) {
  threadDevice = -1;
  return std::exchange(threadDevices, own);
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
  while (stream.done < position) {
    if (stream.isRunning) {
      changed.wait(lock);
      continue;
    }
    stream.isRunning = true;
    Task &task = stream.tasks.front();
    try {
      // A dry run leaves work on memory out, but keeps the order of streams: what one waits for has run afterwards.
      if (!isDry || task.accesses.empty()) task.body();
    } catch (const Refusal &refusal) {
      std::string text = task.name + ", while running: " + refusal.text;
      if (refusal.status != kernelFailed) violations.push_back(text);
      if (stream.failure == success) {
        stream.failure = kernelFailed;
        stream.reason = text;
      }
    }
    stream.tasks.pop_front();
    stream.done++;
    stream.isRunning = false;
    changed.notify_all();
  }
}

bool Devices::wait(std::chrono::steady_clock::time_point end, const std::function<bool()> &holds) {
  while (!holds())
    if (changed.wait_until(lock, end) == std::cv_status::timeout) return holds();
  return true;
}

void Devices::take(int device, size_t size) {
  if (allocationsUntilFailure == 1) throw Refusal{outOfMemory, "out of memory, on demand"};
  if (allocationsUntilFailure > 1) allocationsUntilFailure--;
  if (used[size_t(device)] + size > capacity) throw Refusal{outOfMemory, "out of memory"};
  used[size_t(device)] += size;
  peak[size_t(device)] = std::max(peak[size_t(device)], used[size_t(device)]);
}

// MARK: Order between streams

void join(Progress &progress, const Progress &other) {
  for (auto &[stream, position] : other) progress[stream] = std::max(progress[stream], position);
}

Access Devices::access(const void *address, size_t size, bool isWritten) const {
  auto value = reinterpret_cast<uintptr_t>(address);
  uintptr_t block = value;
  if (auto next = memory.upper_bound(value); next != memory.begin() && value < std::prev(next)->first + std::prev(next)->second.size)
    block = std::prev(next)->first;
  else if (auto next = pinned.upper_bound(value); next != pinned.begin())
    block = std::prev(next)->first;
  return Access{block, value - block, value - block + size, isWritten};
}

void Devices::add(Stream &stream, Task task) {
  join(stream.known, waitedFor);
  uint64_t position = stream.added + 1;
  // One stream is always in order; what was before the second is on the first.
  long count = std::count_if(streams.begin(), streams.end(), [&](Stream *other) { return other->device == stream.device; });
  auto isBefore = [&](const PastAccess &earlier) {
    return earlier.stream == stream.number || stream.known[earlier.stream] >= earlier.position;
  };
  for (auto &access : task.accesses) {
    if (count < 2) break;
    for (auto &earlier : accesses[access.block]) {
      bool overlaps = earlier.access.start < access.end && access.start < earlier.access.end;
      if (overlaps && !isBefore(earlier) && (earlier.access.isWritten || access.isWritten))
        throw Refusal{
            invalidParameter, task.name + (access.isWritten ? " writes" : " reads") + " what " + earlier.name +
                                  (earlier.access.isWritten ? " writes" : " reads") +
                                  " on another stream, with no event between them"};
    }
  }
  for (auto &access : task.accesses) {
    if (count < 2) break;
    auto &past = accesses[access.block];
    std::erase_if(past, [&](const PastAccess &earlier) {
      // Whoever is ordered after the new access is ordered after those that it covers.
      bool isCovered = access.start <= earlier.access.start && earlier.access.end <= access.end;
      return waitedFor[earlier.stream] >= earlier.position ||
             (isBefore(earlier) && isCovered && (access.isWritten || (earlier.stream == stream.number && !earlier.access.isWritten)));
    });
    past.push_back(PastAccess{access, stream.number, position, task.name});
  }
  stream.tasks.push_back(std::move(task));
  stream.added = position;
  stream.known[stream.number] = position;
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

void reportAtExit() {
  const char *path = std::getenv("HYVIDEO_ASCEND_EMULATOR_REPORT");
  FILE *file = path ? std::fopen(path, "a") : nullptr;
  if (!file) return;
  // In one piece: processes share the file.
  std::setvbuf(file, nullptr, _IOFBF, 1 << 20);
  // A device's own thread may still be giving back what the program let go of last.
  for (int i = 0; i < 200 && ascend_emulator_leaks(nullptr, 0) > 0; i++) usleep(10000);
  std::vector<char> text(1 << 20);
  auto write = [&](const char *kind, long (*list)(char *, size_t)) {
    list(text.data(), text.size());
    std::string lines(text.data());
    for (size_t start = 0, end; (end = lines.find('\n', start)) != std::string::npos; start = end + 1)
      std::fprintf(file, "%d %s: %s\n", int(getpid()), kind, lines.substr(start, end - start).c_str());
  };
  std::fprintf(file, "%d end\n", int(getpid()));
  write("violation", ascend_emulator_violations);
  write("leak", ascend_emulator_leaks);
  if (devices().isInitialized) std::fprintf(file, "%d leak: CANN, which was started and not ended (aclFinalize)\n", int(getpid()));
  write("tools", ascend_emulator_ranges);
  std::fclose(file);
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

EMULATOR_EXPORT const char *aclrtGetSocName() {
  const char *name = std::getenv("HYVIDEO_ASCEND_EMULATOR_CHIP");
  return name && *name ? name : "Ascend910B3-emulated";
}

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
  all.waitedFor.clear();
  all.accesses.clear();
  all.objects.clear();
  all.runs.clear();
  all.violations.clear();
  all.holdsCollectives = false;
  all.allocationsUntilFailure = all.pinnedUntilFailure = all.kernelsUntilFailure = all.collectivesUntilFailure = 0;
  threadDevice = -1;
}

void ascend_emulator_fail_allocation(long k) {
  std::lock_guard<std::recursive_mutex> held(devices().lock);
  devices().allocationsUntilFailure = k;
}

void ascend_emulator_fail_pinned(long k) {
  std::lock_guard<std::recursive_mutex> held(devices().lock);
  devices().pinnedUntilFailure = k;
}

void ascend_emulator_fail_kernel(long n) {
  std::lock_guard<std::recursive_mutex> held(devices().lock);
  devices().kernelsUntilFailure = n;
}

void ascend_emulator_fail_collective(long n) {
  std::lock_guard<std::recursive_mutex> held(devices().lock);
  devices().collectivesUntilFailure = n;
}

void ascend_emulator_hold_collectives(int holds) {
  std::lock_guard<std::recursive_mutex> held(devices().lock);
  devices().holdsCollectives = holds != 0;
  devices().changed.notify_all();
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
  for (auto &[device, references] : devices().references)
    if (references > 0) lines.push_back("device " + std::to_string(device) + ", which is set");
  return list(lines, text, capacity);
}

uint64_t ascend_emulator_bytes_sent() {
  std::lock_guard<std::recursive_mutex> held(devices().lock);
  return devices().bytesSent;
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
