// What process groups need of MPI, without MPI's own types. The library is loaded when it is first asked for, so that a
// program that is started alone neither needs it nor spends time on it; the constants and calling conventions are those of
// the MPI that the program was built with.
#pragma once

#include <stddef.h>
#include <stdint.h>

// Ranks that exchange messages.
typedef struct cmpi_group cmpi_group;
// Messages under way. Started, tested and freed by one thread at a time.
typedef struct cmpi_transfer cmpi_transfer;

// Loads the library and joins the other ranks. Returns the group of all ranks, or NULL with a reason.
cmpi_group *cmpi_start(char *reason, size_t capacity);
// How many bytes one MPI message has at most, 2^30 where nothing is said or more is asked for: longer ones are sent in
// pieces. The same on all ranks, and set before messages are sent.
void cmpi_set_piece_bytes(size_t bytes);
// Leaves the other ranks; waits for them.
void cmpi_finish(void);
// Ends all ranks at once. Does not return.
void cmpi_abort(int status);

int cmpi_rank(const cmpi_group *group);
int cmpi_size(const cmpi_group *group);
// The ranks of a group that give the same color, ordered by key, or NULL with a reason.
cmpi_group *cmpi_split(const cmpi_group *group, int color, int key, char *reason, size_t capacity);

cmpi_transfer *cmpi_transfer_make(void);
// Starts a message of any length; 0, or a status for `cmpi_describe`. The memory must stay as it is until the transfer is done.
int cmpi_send(cmpi_transfer *transfer, const cmpi_group *group, const void *bytes, size_t count, int destination);
int cmpi_receive(cmpi_transfer *transfer, const cmpi_group *group, void *bytes, size_t count, int source);
// Whether all messages are done: 1, 0, or a negative status.
int cmpi_test(cmpi_transfer *transfer);
void cmpi_transfer_free(cmpi_transfer *transfer);

// What a status means.
void cmpi_describe(int status, char *text, size_t capacity);
