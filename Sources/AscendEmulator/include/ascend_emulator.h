// Ascend devices that are not there: a library with the functions of CANN that the program calls, computing on the
// processor and refusing whatever a device would punish or, worse, not punish. For tests; never shipped.
//
// What is checked is in the sources, next to what is computed. A broken rule fails the call, with a text that
// aclGetRecentErrMsg gives, and is kept, so that a rule broken where nobody looks at the status is seen too.
//
// For programs that load it as CANN, variables set the same: HYVIDEO_ASCEND_EMULATOR_DEVICES, …_MEGABYTES (of each device),
// …_FAIL_ALLOCATION, …_FAIL_PINNED, …_FAIL_KERNEL, …_FAIL_COLLECTIVE; …_CHIP is their chip's name; …_SECONDS is how long devices wait for
// each other; …_REPORT names a file to which every process appends, behind its number, what was broken and is alive at its end.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "../../CAscend/ascend_dry_run.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

// Starts over with so many devices of so much memory each. Whatever lives is forgotten.
void ascend_emulator_reset(int devices, size_t bytes_per_device);
// Lets the k-th allocation of device memory from now on, a communicator's included, and all after it fail, counted from 1; 0 for
// none.
void ascend_emulator_fail_allocation(long k);
// The same of the host's pinned memory.
void ascend_emulator_fail_pinned(long k);
// Lets the n-th kernel from now on fail when it runs, counted from 1; 0 for none.
void ascend_emulator_fail_kernel(long n);
// Lets the device of the n-th collective operation from now on vanish when it runs, counted from 1; 0 for none.
void ascend_emulator_fail_collective(long n);
// Lets collective operations that begin from now on wait before they send anything, until told otherwise.
void ascend_emulator_hold_collectives(int holds);
// The rules broken since the start, one a line, as far as they fit. Returns their number.
long ascend_emulator_violations(char *text, size_t capacity);
// What is alive: memory, streams, events, descriptors, prepared operators, communicators, devices that are set. Returns their
// number.
long ascend_emulator_leaks(char *text, size_t capacity);
// What profilers were told: ranges that have ended and marks in their order, then ranges under way. Returns their number.
long ascend_emulator_ranges(char *text, size_t capacity);
// Says whether a profiler records, as it does at the start; stamps (aclprof…) exist only then.
void ascend_emulator_record_ranges(int records);
// How many bytes devices of this process have sent to others.
uint64_t ascend_emulator_bytes_sent(void);
// How often an operator ran.
long ascend_emulator_runs(const char *name);

// Devices without contents; what each function does stands in ascend_dry_run.h.
void ascend_emulator_begin_dry(int devices, size_t bytes_per_device);
void ascend_emulator_end_dry(void);
long ascend_emulator_take_accounts(ascendKernelAccount *accounts, long capacity);
size_t ascend_emulator_take_peak(int device);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
