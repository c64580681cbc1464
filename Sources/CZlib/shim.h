#pragma once
// Only raw deflate streams are read; `inflateInit2` is a macro.
#include <zlib.h>

static inline int hv_inflate_raw_init(z_stream *stream) { return inflateInit2(stream, -MAX_WBITS); }
