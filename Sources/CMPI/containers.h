#pragma once

// To be called before MPI is started.
void cmpi_prepare_for_containers(void);
