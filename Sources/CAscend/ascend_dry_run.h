// Functions of the emulated devices that keep shapes and accounts only. They are not CANN's.
#pragma once

#include <stddef.h>

// Kernels of one operator that are alike, since the accounts were taken last.
typedef struct {
  char name[64];
  long calls;
  // Of each call: multiplications and additions, each counted, of what is bound by them; bytes of device memory.
  double operations;
  size_t bytesRead, bytesWritten, workspace;
} ascendKernelAccount;

// From now on the calling thread has so many devices of its own, of so much memory each, which compute nothing: every call is
// checked and every allocation booked, but no memory is there and no kernel runs.
typedef void (*ascend_emulator_begin_dryFunction)(int devices, size_t bytesPerDevice);
// Forgets them.
typedef void (*ascend_emulator_end_dryFunction)(void);
// Gives the accounts, as far as they fit, and forgets what it gives. Returns how many it gave.
typedef long (*ascend_emulator_take_accountsFunction)(ascendKernelAccount *accounts, long capacity);
// The most memory of a device that was taken at a time since the last call; begins anew with what is taken now.
typedef size_t (*ascend_emulator_take_peakFunction)(int device);
