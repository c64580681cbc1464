// What a process is told that does not know it runs on emulated devices: how many there are, what is to fail, and where to
// write at its end which rules were broken and what was left alive.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "emulator.h"
#include "include/ascend_emulator.h"

namespace {

// A whole number from the environment, or another.
long number(const char *name, long otherwise) {
  const char *text = std::getenv(name);
  return text && *text ? std::strtol(text, nullptr, 10) : otherwise;
}

const char *const reportVariable = "HYVIDEO_ASCEND_EMULATOR_REPORT";

std::string lines(long (*list)(char *, size_t), const char *label) {
  std::vector<char> text(1 << 20);
  list(text.data(), text.size());
  std::string all, rest = text.data();
  while (!rest.empty()) {
    size_t end = rest.find('\n');
    all += std::string(label) + rest.substr(0, end) + "\n";
    rest = end == std::string::npos ? "" : rest.substr(end + 1);
  }
  return all;
}

// Appends to the file, in one piece: several processes may share it.
void report() {
  // The device's own thread may still be giving back what the program let go of last.
  for (int i = 0; i < 200 && ascend_emulator_leaks(nullptr, 0) > 0; i++) usleep(10000);
  std::string text = lines(ascend_emulator_violations, "violation: ") + lines(ascend_emulator_leaks, "leak: ") +
                     lines(ascend_emulator_ranges, "") + "end\n";
  FILE *file = std::fopen(std::getenv(reportVariable), "a");
  if (!file) return;
  std::fwrite(text.data(), 1, text.size(), file);
  std::fclose(file);
}

__attribute__((constructor)) void readEnvironment() {
  long count = number("HYVIDEO_ASCEND_EMULATOR_DEVICES", 0);
  long bytes = number("HYVIDEO_ASCEND_EMULATOR_MEMORY", 0);
  if (count > 0 || bytes > 0)
    ascend_emulator_reset(int(count > 0 ? count : emulator::devices().count),
                          bytes > 0 ? size_t(bytes) : emulator::devices().capacity);
  ascend_emulator_fail_allocation(number("HYVIDEO_ASCEND_EMULATOR_FAIL_ALLOCATION", 0));
  ascend_emulator_fail_kernel(number("HYVIDEO_ASCEND_EMULATOR_FAIL_KERNEL", 0));
  if (std::getenv(reportVariable)) std::atexit(report);
}

}  // namespace
