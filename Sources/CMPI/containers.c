// process_vm_readv
#define _GNU_SOURCE
#include "containers.h"

#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

// Open MPI's ranks on one host copy large messages from each other's memory. Containers may forbid the call, which Open MPI
// finds out when it is too late; the variable makes it use shared memory alone. A user's own choice stays.
void cmpi_prepare_for_containers(void) {
  char from = 1, to = 0;
  struct iovec local = {&to, 1}, remote = {&from, 1};
  if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == 1) return;
  setenv("OMPI_MCA_btl_vader_single_copy_mechanism", "none", 0);
  setenv("OMPI_MCA_smsc", "^cma", 0);
}
