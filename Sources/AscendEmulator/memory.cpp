// Memory, copies, streams and events.
#include <algorithm>
#include <cstring>

#include "emulator.h"

using namespace emulator;

// MARK: Memory

EMULATOR_EXPORT aclError aclrtMalloc(void **address, size_t size, aclrtMemMallocPolicy policy) {
  return guarded("aclrtMalloc", [&] {
    int device = currentDevice();
    Devices &all = devices();
    if (!address || size == 0) throw Refusal{invalidParameter, "no size"};
    if (policy != ACL_MEM_MALLOC_HUGE_FIRST) throw Refusal{invalidParameter, "a policy nobody needs"};
    // A device takes 32 bytes more than a multiple of 32.
    size_t taken = (size + 31) / 32 * 32 + 32;
    if (!all.nextAddress || taken + 8192 > all.lastAddress - all.nextAddress)
      throw Refusal{invalidParameter, "no addresses are left to emulate with"};
    // Not a number in every floating-point type.
    all.take(device, taken);
    Allocation block{size, device, std::vector<std::byte>(all.isDry ? 0 : size, std::byte(0xFF))};
    uintptr_t start = all.nextAddress;
    all.nextAddress += (taken + 4095) / 4096 * 4096 + 4096;
    all.memory.emplace(start, std::move(block));
    *address = reinterpret_cast<void *>(start);
  });
}

// Refuses to free what work that has not run will use.
static void requireUnused(uintptr_t block) {
  for (auto *stream : devices().streams)
    for (auto &task : stream->tasks)
      for (auto &access : task.accesses)
        if (access.block == block)
          throw Refusal{invalidParameter, "the memory is in use by " + task.name + ", which has not run"};
}

EMULATOR_EXPORT aclError aclrtFree(void *address) {
  return guarded("aclrtFree", [&] {
    currentDevice();
    Devices &all = devices();
    auto found = all.memory.find(reinterpret_cast<uintptr_t>(address));
    if (found == all.memory.end()) throw Refusal{invalidParameter, "not the start of a living allocation"};
    requireUnused(found->first);
    all.accesses.erase(found->first);
    size_t taken = (found->second.size + 31) / 32 * 32 + 32;
    all.used[size_t(found->second.device)] -= taken;
    all.memory.erase(found);
  });
}

EMULATOR_EXPORT aclError aclrtMallocHost(void **address, size_t size) {
  return guarded("aclrtMallocHost", [&] {
    currentDevice();
    Devices &all = devices();
    if (!address || size == 0) throw Refusal{invalidParameter, "no size"};
    if (all.pinnedUntilFailure == 1) throw Refusal{outOfMemory, "out of pinned memory, on demand"};
    if (all.pinnedUntilFailure > 1) all.pinnedUntilFailure--;
    std::vector<std::byte> bytes(size, std::byte(0xFF));
    *address = bytes.data();
    all.pinned.emplace(reinterpret_cast<uintptr_t>(bytes.data()), std::move(bytes));
  });
}

EMULATOR_EXPORT aclError aclrtFreeHost(void *address) {
  return guarded("aclrtFreeHost", [&] {
    auto block = reinterpret_cast<uintptr_t>(address);
    if (!devices().pinned.count(block)) throw Refusal{invalidParameter, "not pinned memory"};
    requireUnused(block);
    devices().pinned.erase(block);
    devices().accesses.erase(block);
  });
}

// MARK: Copies

// Copies when the stream comes to it, which is what a device may do; only memory that is not pinned is copied at once.
EMULATOR_EXPORT aclError aclrtMemcpyAsync(
    void *target, size_t capacity, const void *source, size_t count, aclrtMemcpyKind kind, aclrtStream handle) {
  return guarded("aclrtMemcpyAsync", [&] {
    Stream &stream = streamOf(handle);
    Devices &all = devices();
    if (capacity < count) throw Refusal{invalidParameter, "the target is too small"};
    bool isFromDevice = kind != ACL_MEMCPY_HOST_TO_DEVICE, isToDevice = kind != ACL_MEMCPY_DEVICE_TO_HOST;
    Task task{"aclrtMemcpyAsync", {}, nullptr};
    for (auto [address, isDevice] : {std::pair(source, isFromDevice), {(const void *)target, isToDevice}}) {
      auto *found = all.find(address);
      if (isDevice) {
        all.bytes(address, count, "a copy");
        if (found->second.device != stream.device) throw Refusal{wrongMemory, "memory of another device"};
      } else if (found) {
        throw Refusal{invalidParameter, "a copy whose direction its addresses do not have"};
      }
    }
    task.accesses = {all.access(source, count, false), all.access(target, count, true)};
    task.body = [=, &all] {
      auto *from = isFromDevice ? all.bytes(source, count, "a copy's source") : static_cast<const std::byte *>(source);
      auto *to = isToDevice ? all.bytes(target, count, "a copy's target") : static_cast<std::byte *>(target);
      std::memcpy(to, from, count);
    };
    const void *host = isFromDevice ? (isToDevice ? nullptr : target) : source;
    if (host && !all.isPinned(host, count))
      throw Refusal{wrongMemory, "the host's memory is not pinned, so the copy would wait for the device"};
    all.add(stream, std::move(task));
  });
}

// MARK: Streams

EMULATOR_EXPORT aclError aclrtCreateStreamWithConfig(aclrtStream *stream, uint32_t, uint32_t flags) {
  return guarded("aclrtCreateStreamWithConfig", [&] {
    if (flags & ~7u) throw Refusal{invalidParameter, "unknown flags"};
    auto *made = new Stream;
    made->device = currentDevice();
    made->number = devices().nextStream++;
    devices().streams.insert(made);
    *stream = made;
  });
}

EMULATOR_EXPORT aclError aclrtDestroyStream(aclrtStream handle) {
  return guarded("aclrtDestroyStream", [&] {
    Stream &stream = streamOf(handle);
    if (!stream.tasks.empty()) throw Refusal{invalidParameter, "the stream has work that has not run"};
    devices().streams.erase(&stream);
    delete &stream;
  });
}

static void finish(Stream &stream, uint64_t position) {
  devices().run(stream, position);
  if (stream.failure == success) return;
  Refusal refusal{stream.failure, stream.reason};
  stream.failure = success;
  stream.reason.clear();
  throw refusal;
}

EMULATOR_EXPORT aclError aclrtSynchronizeStream(aclrtStream handle) {
  return guarded("aclrtSynchronizeStream", [&] {
    Stream &stream = streamOf(handle);
    uint64_t position = stream.added;
    join(devices().waitedFor, stream.known);
    finish(stream, position);
  });
}

// MARK: Events

EMULATOR_EXPORT aclError aclrtCreateEventExWithFlag(aclrtEvent *event, uint32_t flags) {
  return guarded("aclrtCreateEventExWithFlag", [&] {
    if ((flags & ~uint32_t(CASCEND_EVENT_TIME_LINE)) != CASCEND_EVENT_SYNC)
      throw Refusal{invalidParameter, "flags nobody needs"};
    auto *made = new Event;
    made->isTimed = flags & CASCEND_EVENT_TIME_LINE;
    made->device = currentDevice();
    devices().events.insert(made);
    *event = made;
  });
}

static Event &eventOf(aclrtEvent handle) {
  auto *event = static_cast<Event *>(handle);
  if (!devices().events.count(event)) throw Refusal{invalidParameter, "no such event"};
  if (event->device != currentDevice()) throw Refusal{foreignStream, "the event is another device's"};
  return *event;
}

EMULATOR_EXPORT aclError aclrtDestroyEvent(aclrtEvent handle) {
  return guarded("aclrtDestroyEvent", [&] {
    Event &event = eventOf(handle);
    devices().events.erase(&event);
    delete &event;
  });
}

EMULATOR_EXPORT aclError aclrtRecordEvent(aclrtEvent handle, aclrtStream stream) {
  return guarded("aclrtRecordEvent", [&] {
    Event &event = eventOf(handle);
    event.stream = &streamOf(stream);
    if (event.isTimed) {
      event.passed.reset();
      devices().add(*event.stream, Task{"aclrtRecordEvent", {}, [&event, record = ++event.records] {
        if (devices().events.count(&event) && event.records == record) event.passed = std::chrono::steady_clock::now();
      }});
    }
    event.position = event.stream->added;
    event.known = event.stream->known;
  });
}

EMULATOR_EXPORT aclError aclrtStreamWaitEvent(aclrtStream handle, aclrtEvent eventHandle) {
  return guarded("aclrtStreamWaitEvent", [&] {
    Stream &stream = streamOf(handle);
    Event &event = eventOf(eventHandle);
    if (!event.stream) throw Refusal{invalidParameter, "the event has never been recorded, so nothing would wait"};
    join(stream.known, event.known);
    // The event may be recorded anew: what counts is its last record now.
    devices().add(stream, Task{"aclrtStreamWaitEvent", {}, [source = event.stream, position = event.position] {
      if (devices().streams.count(source)) devices().run(*source, position);
    }});
  });
}

EMULATOR_EXPORT aclError aclrtEventElapsedTime(float *milliseconds, aclrtEvent begin, aclrtEvent end) {
  bool isEarly = false;
  int status = guarded("aclrtEventElapsedTime", [&] {
    Event &first = eventOf(begin), &second = eventOf(end);
    if (!milliseconds) throw Refusal{invalidParameter, "no place for the time"};
    if (!first.isTimed || !second.isTimed) throw Refusal{invalidParameter, "an event that notes no time"};
    if (!first.stream || first.stream != second.stream) throw Refusal{invalidParameter, "events of two streams"};
    isEarly = !first.passed || !second.passed;
    if (!isEarly) *milliseconds = std::chrono::duration<float, std::milli>(*second.passed - *first.passed).count();
  });
  // Asking too early breaks no rule.
  return isEarly ? eventNotPassed : status;
}

EMULATOR_EXPORT aclError aclrtSynchronizeEvent(aclrtEvent handle) {
  return guarded("aclrtSynchronizeEvent", [&] {
    Event &event = eventOf(handle);
    // An event that was never recorded counts as complete.
    join(devices().waitedFor, event.known);
    if (event.stream && devices().streams.count(event.stream)) devices().run(*event.stream, event.position);
  });
}

EMULATOR_PROTOTYPE(aclrtMalloc);
EMULATOR_PROTOTYPE(aclrtFree);
EMULATOR_PROTOTYPE(aclrtMallocHost);
EMULATOR_PROTOTYPE(aclrtFreeHost);
EMULATOR_PROTOTYPE(aclrtMemcpyAsync);
EMULATOR_PROTOTYPE(aclrtCreateStreamWithConfig);
EMULATOR_PROTOTYPE(aclrtDestroyStream);
EMULATOR_PROTOTYPE(aclrtSynchronizeStream);
EMULATOR_PROTOTYPE(aclrtCreateEventExWithFlag);
EMULATOR_PROTOTYPE(aclrtDestroyEvent);
EMULATOR_PROTOTYPE(aclrtRecordEvent);
EMULATOR_PROTOTYPE(aclrtStreamWaitEvent);
EMULATOR_PROTOTYPE(aclrtSynchronizeEvent);
EMULATOR_PROTOTYPE(aclrtEventElapsedTime);
