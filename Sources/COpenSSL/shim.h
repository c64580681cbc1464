#pragma once
// Only digests are used.
#include <openssl/evp.h>
