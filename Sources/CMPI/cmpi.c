#include "cmpi.h"
#include "containers.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#if __has_include(<mpi/mpi.h>)
#include <mpi/mpi.h>
#else
#include <mpi.h>
#endif

struct cmpi_group {
  MPI_Comm communicator;
};

struct cmpi_transfer {
  MPI_Request *requests;
  int count, capacity;
};

// Counts are ints in MPI: longer messages are sent in pieces, which arrive in order.
static size_t piece_bytes = (size_t)1 << 30;

// The functions that are looked up when the library is loaded.
#define FUNCTIONS(X) \
  X(Init_thread) X(Finalize) X(Abort) X(Comm_rank) X(Comm_size) X(Comm_split) X(Comm_set_errhandler) X(Isend) X(Irecv) \
  X(Testall) X(Error_string)

static struct {
#define X(name) __typeof__(&MPI_##name) name;
  FUNCTIONS(X)
#undef X
  MPI_Comm world;
  MPI_Datatype byte;
  MPI_Errhandler errors_return;
} mpi;

#ifdef OPEN_MPI
static const char *const libraries[] = {"libmpi.so.40", "libmpi.so", NULL};
#else
static const char *const libraries[] = {"libmpich.so.12", "libmpi.so.12", "libmpi.so", NULL};
#endif

static const char *load(void *library) {
#define X(name)                                                       \
  mpi.name = (__typeof__(mpi.name))dlsym(library, "MPI_" #name); \
  if (!mpi.name) return "MPI_" #name;
  FUNCTIONS(X)
#undef X
#ifdef OPEN_MPI
  // Open MPI's constants are addresses of objects in the library.
#define OBJECT(field, type, symbol)                  \
  mpi.field = (type)dlsym(library, symbol); \
  if (!mpi.field) return symbol;
  OBJECT(world, MPI_Comm, "ompi_mpi_comm_world")
  OBJECT(byte, MPI_Datatype, "ompi_mpi_byte")
  OBJECT(errors_return, MPI_Errhandler, "ompi_mpi_errors_return")
#undef OBJECT
#else
  mpi.world = MPI_COMM_WORLD;
  mpi.byte = MPI_BYTE;
  mpi.errors_return = MPI_ERRORS_RETURN;
#endif
  return NULL;
}

static cmpi_group *make_group(MPI_Comm communicator) {
  cmpi_group *group = malloc(sizeof *group);
  if (group) group->communicator = communicator;
  return group;
}

cmpi_group *cmpi_start(char *reason, size_t capacity) {
  void *library = NULL;
  for (int i = 0; !library && libraries[i]; i++) library = dlopen(libraries[i], RTLD_NOW | RTLD_GLOBAL);
  if (!library) {
    snprintf(reason, capacity, "cannot load %s: %s", libraries[0], dlerror());
    return NULL;
  }
  const char *missing = load(library);
  if (missing) {
    snprintf(reason, capacity, "the MPI library lacks %s", missing);
    return NULL;
  }
  cmpi_prepare_for_containers();
  int provided = 0;
  int status = mpi.Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &provided);
  if (status != MPI_SUCCESS || provided < MPI_THREAD_SERIALIZED) {
    snprintf(reason, capacity, "MPI_Init_thread answered status %d and thread level %d", status, provided);
    return NULL;
  }
  mpi.Comm_set_errhandler(mpi.world, mpi.errors_return);
  return make_group(mpi.world);
}

void cmpi_set_piece_bytes(size_t bytes) {
  const size_t limit = (size_t)1 << 30;
  piece_bytes = bytes == 0 || bytes > limit ? limit : bytes;
}

void cmpi_finish(void) { mpi.Finalize(); }

void cmpi_abort(int status) {
  mpi.Abort(mpi.world, status);
  _Exit(status);
}

int cmpi_rank(const cmpi_group *group) {
  int rank = 0;
  mpi.Comm_rank(group->communicator, &rank);
  return rank;
}

int cmpi_size(const cmpi_group *group) {
  int size = 1;
  mpi.Comm_size(group->communicator, &size);
  return size;
}

cmpi_group *cmpi_split(const cmpi_group *group, int color, int key, char *reason, size_t capacity) {
  MPI_Comm part;
  int status = mpi.Comm_split(group->communicator, color, key, &part);
  if (status != MPI_SUCCESS) {
    cmpi_describe(status, reason, capacity);
    return NULL;
  }
  return make_group(part);
}

cmpi_transfer *cmpi_transfer_make(void) { return calloc(1, sizeof(cmpi_transfer)); }

static MPI_Request *next_request(cmpi_transfer *transfer) {
  if (transfer->count == transfer->capacity) {
    int capacity = transfer->capacity ? 2 * transfer->capacity : 16;
    MPI_Request *requests = realloc(transfer->requests, capacity * sizeof *requests);
    if (!requests) return NULL;
    transfer->requests = requests;
    transfer->capacity = capacity;
  }
  return &transfer->requests[transfer->count++];
}

int cmpi_send(cmpi_transfer *transfer, const cmpi_group *group, const void *bytes, size_t count, int destination) {
  for (size_t start = 0; start < count; start += piece_bytes) {
    size_t length = count - start < piece_bytes ? count - start : piece_bytes;
    MPI_Request *request = next_request(transfer);
    if (!request) return MPI_ERR_NO_MEM;
    int status =
        mpi.Isend((const char *)bytes + start, (int)length, mpi.byte, destination, 0, group->communicator, request);
    if (status != MPI_SUCCESS) return status;
  }
  return 0;
}

int cmpi_receive(cmpi_transfer *transfer, const cmpi_group *group, void *bytes, size_t count, int source) {
  for (size_t start = 0; start < count; start += piece_bytes) {
    size_t length = count - start < piece_bytes ? count - start : piece_bytes;
    MPI_Request *request = next_request(transfer);
    if (!request) return MPI_ERR_NO_MEM;
    int status = mpi.Irecv((char *)bytes + start, (int)length, mpi.byte, source, 0, group->communicator, request);
    if (status != MPI_SUCCESS) return status;
  }
  return 0;
}

int cmpi_test(cmpi_transfer *transfer) {
  int done = 0;
  int status = mpi.Testall(transfer->count, transfer->requests, &done, MPI_STATUSES_IGNORE);
  return status == MPI_SUCCESS ? done : status > 0 ? -status : -1;
}

void cmpi_transfer_free(cmpi_transfer *transfer) {
  free(transfer->requests);
  free(transfer);
}

void cmpi_describe(int status, char *text, size_t capacity) {
  char message[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  mpi.Error_string(status < 0 ? -status : status, message, &length);
  snprintf(text, capacity, "%s", message);
}
