// What the CPU backend uses of oneDNN's C API. The functions below hide the differences between major versions 2 and 3;
// no other file knows which one is installed. All of them return oneDNN's status.
#pragma once

#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl_debug.h>
#include <stdbool.h>
#include <stddef.h>

#if DNNL_VERSION_MAJOR >= 3
typedef const_dnnl_memory_desc_t onednn_layout;
#else
typedef const dnnl_memory_desc_t *onednn_layout;
#endif

// Whether oneDNN uses vectors of 512 bits, and instructions for bfloat16 and for 8-bit integers: what the processor has and
// DNNL_MAX_CPU_ISA allows.
static inline bool onednn_has_wide_vectors(void) {
  return (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core;
}

static inline bool onednn_has_bfloat16(void) {
  return (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16;
}

static inline bool onednn_has_int8(void) {
  dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();
  return (isa & dnnl_cpu_isa_avx512_core_vnni) == dnnl_cpu_isa_avx512_core_vnni ||
         (isa & dnnl_cpu_isa_avx2_vnni) == dnnl_cpu_isa_avx2_vnni;
}

// A direct 3-D convolution, stride 1, no padding, batch 1, float32, channels last: source [T, H, W, C], result [T', H', W', O].
// One primitive may run on many threads at once: its scratch memory comes from the caller.
typedef struct {
  dnnl_primitive_t primitive;
  dnnl_primitive_desc_t description;
  size_t weight_bytes;
  size_t scratch_bytes;
} onednn_convolution;

static inline onednn_layout onednn_query(const onednn_convolution *c, dnnl_query_t what) {
  return dnnl_primitive_desc_query_md(c->description, what, 0);
}

// Extents are batch, channels, then depth, height, width (or outputs, channels, … for weights).
typedef struct {
  dnnl_dims_t source, weights, bias, result;
} onednn_convolution_shape;

static inline onednn_convolution_shape onednn_make_convolution_shape(
    int channels, int outputs, const int kernel[3], const int result[3]) {
  onednn_convolution_shape shape = {
      .source = {1, channels, result[0] + kernel[0] - 1, result[1] + kernel[1] - 1, result[2] + kernel[2] - 1},
      .weights = {outputs, channels, kernel[0], kernel[1], kernel[2]},
      .bias = {outputs},
      .result = {1, outputs, result[0], result[1], result[2]},
  };
  return shape;
}

static inline void onednn_convolution_destroy(onednn_convolution *c) {
  if (c->primitive) dnnl_primitive_destroy(c->primitive);
  if (c->description) dnnl_primitive_desc_destroy(c->description);
  c->primitive = NULL;
  c->description = NULL;
}

// Finds how a convolution would be done and what memory that takes; no code is made for it. With `accumulate` the result is added to
// what the destination holds.
static inline dnnl_status_t onednn_convolution_describe(
    dnnl_engine_t engine, int channels, int outputs, const int kernel[3], const int result[3], bool accumulate,
    onednn_convolution *out) {
  onednn_convolution c = {0};
  onednn_convolution_shape shape = onednn_make_convolution_shape(channels, outputs, kernel, result);
  dnnl_dims_t strides = {1, 1, 1}, zeros = {0, 0, 0};
  dnnl_primitive_attr_t attributes = NULL;
  dnnl_post_ops_t operations = NULL;
  dnnl_status_t status = dnnl_primitive_attr_create(&attributes);
  if (status == dnnl_success) status = dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
  if (status == dnnl_success && accumulate) {
    status = dnnl_post_ops_create(&operations);
#if DNNL_VERSION_MAJOR >= 3
    if (status == dnnl_success) status = dnnl_post_ops_append_sum(operations, 1, 0, dnnl_f32);
#else
    if (status == dnnl_success) status = dnnl_post_ops_append_sum(operations, 1);
#endif
    if (status == dnnl_success) status = dnnl_primitive_attr_set_post_ops(attributes, operations);
  }

#if DNNL_VERSION_MAJOR >= 3
  dnnl_memory_desc_t source = NULL, weights = NULL, bias = NULL, destination = NULL;
  if (status == dnnl_success)
    status = dnnl_memory_desc_create_with_tag(&source, 5, shape.source, dnnl_f32, dnnl_ndhwc);
  if (status == dnnl_success)
    status = dnnl_memory_desc_create_with_tag(&weights, 5, shape.weights, dnnl_f32, dnnl_format_tag_any);
  if (status == dnnl_success) status = dnnl_memory_desc_create_with_tag(&bias, 1, shape.bias, dnnl_f32, dnnl_x);
  if (status == dnnl_success)
    status = dnnl_memory_desc_create_with_tag(&destination, 5, shape.result, dnnl_f32, dnnl_ndhwc);
  if (status == dnnl_success)
    status = dnnl_convolution_forward_primitive_desc_create(
        &c.description, engine, dnnl_forward_inference, dnnl_convolution_direct, source, weights, bias, destination,
        strides, zeros, zeros, zeros, attributes);
  dnnl_memory_desc_t owned[] = {source, weights, bias, destination};
  for (int i = 0; i < 4; i++)
    if (owned[i]) dnnl_memory_desc_destroy(owned[i]);
#else
  dnnl_memory_desc_t source, weights, bias, destination;
  dnnl_convolution_desc_t convolution;
  if (status == dnnl_success)
    status = dnnl_memory_desc_init_by_tag(&source, 5, shape.source, dnnl_f32, dnnl_ndhwc);
  if (status == dnnl_success)
    status = dnnl_memory_desc_init_by_tag(&weights, 5, shape.weights, dnnl_f32, dnnl_format_tag_any);
  if (status == dnnl_success) status = dnnl_memory_desc_init_by_tag(&bias, 1, shape.bias, dnnl_f32, dnnl_x);
  if (status == dnnl_success)
    status = dnnl_memory_desc_init_by_tag(&destination, 5, shape.result, dnnl_f32, dnnl_ndhwc);
  if (status == dnnl_success)
    status = dnnl_convolution_forward_desc_init(
        &convolution, dnnl_forward_inference, dnnl_convolution_direct, &source, &weights, &bias, &destination, strides,
        zeros, zeros);
  if (status == dnnl_success)
    status = dnnl_primitive_desc_create(&c.description, &convolution, attributes, engine, NULL);
#endif

  if (operations) dnnl_post_ops_destroy(operations);
  if (attributes) dnnl_primitive_attr_destroy(attributes);
  if (status == dnnl_success) {
    c.weight_bytes = dnnl_memory_desc_get_size(onednn_query(&c, dnnl_query_weights_md));
    c.scratch_bytes = dnnl_memory_desc_get_size(onednn_query(&c, dnnl_query_scratchpad_md));
    *out = c;
  } else {
    onednn_convolution_destroy(&c);
  }
  return status;
}

// Describes a convolution and makes the code for it.
static inline dnnl_status_t onednn_convolution_create(
    dnnl_engine_t engine, int channels, int outputs, const int kernel[3], const int result[3], bool accumulate,
    onednn_convolution *out) {
  onednn_convolution c = {0};
  dnnl_status_t status = onednn_convolution_describe(engine, channels, outputs, kernel, result, accumulate, &c);
  if (status == dnnl_success) status = dnnl_primitive_create(&c.primitive, c.description);
  if (status == dnnl_success) {
    *out = c;
  } else {
    onednn_convolution_destroy(&c);
  }
  return status;
}

// Whether two convolutions want their weights in the same layout.
static inline bool onednn_convolution_same_weights(const onednn_convolution *a, const onednn_convolution *b) {
  return dnnl_memory_desc_equal(onednn_query(a, dnnl_query_weights_md), onednn_query(b, dnnl_query_weights_md));
}

// Brings weights from [O, C, T, H, W] row-major into the layout that a convolution wants.
static inline dnnl_status_t onednn_convolution_pack(
    dnnl_engine_t engine, const onednn_convolution *c, int channels, int outputs, const int kernel[3],
    const float *plain, void *packed) {
  const int one[3] = {1, 1, 1};
  onednn_convolution_shape shape = onednn_make_convolution_shape(channels, outputs, kernel, one);
  onednn_layout wanted = onednn_query(c, dnnl_query_weights_md);
  dnnl_memory_t from = NULL, to = NULL;
  dnnl_primitive_desc_t description = NULL;
  dnnl_primitive_t reorder = NULL;
  dnnl_stream_t stream = NULL;
#if DNNL_VERSION_MAJOR >= 3
  dnnl_memory_desc_t layout = NULL;
  dnnl_status_t status = dnnl_memory_desc_create_with_tag(&layout, 5, shape.weights, dnnl_f32, dnnl_oidhw);
  onednn_layout given = layout;
#else
  dnnl_memory_desc_t layout;
  dnnl_status_t status = dnnl_memory_desc_init_by_tag(&layout, 5, shape.weights, dnnl_f32, dnnl_oidhw);
  onednn_layout given = &layout;
#endif
  if (status == dnnl_success) status = dnnl_memory_create(&from, given, engine, (void *)plain);
  if (status == dnnl_success) status = dnnl_memory_create(&to, wanted, engine, packed);
  if (status == dnnl_success)
    status = dnnl_reorder_primitive_desc_create(&description, given, engine, wanted, engine, NULL);
  if (status == dnnl_success) status = dnnl_primitive_create(&reorder, description);
  if (status == dnnl_success) status = dnnl_stream_create(&stream, engine, dnnl_stream_default_flags);
  if (status == dnnl_success) {
    dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
    status = dnnl_primitive_execute(reorder, stream, 2, arguments);
    if (status == dnnl_success) status = dnnl_stream_wait(stream);
  }
  if (stream) dnnl_stream_destroy(stream);
  if (reorder) dnnl_primitive_destroy(reorder);
  if (description) dnnl_primitive_desc_destroy(description);
  if (to) dnnl_memory_destroy(to);
  if (from) dnnl_memory_destroy(from);
#if DNNL_VERSION_MAJOR >= 3
  if (layout) dnnl_memory_desc_destroy(layout);
#endif
  return status;
}

// Runs a convolution on the calling thread's team.
static inline dnnl_status_t onednn_convolution_run(
    dnnl_engine_t engine, const onednn_convolution *c, const float *source, const void *packed, const float *bias,
    float *result, void *scratch) {
  const struct {
    int argument;
    dnnl_query_t layout;
    void *address;
  } operands[] = {
      {DNNL_ARG_SRC, dnnl_query_src_md, (void *)source},
      {DNNL_ARG_WEIGHTS, dnnl_query_weights_md, (void *)packed},
      {DNNL_ARG_DST, dnnl_query_dst_md, result},
      {DNNL_ARG_SCRATCHPAD, dnnl_query_scratchpad_md, scratch},
  };
  dnnl_exec_arg_t arguments[5] = {{0}};
  dnnl_stream_t stream = NULL;
  dnnl_status_t status = dnnl_stream_create(&stream, engine, dnnl_stream_default_flags);
  for (int i = 0; i < 4 && status == dnnl_success; i++) {
    arguments[i].arg = operands[i].argument;
    status = dnnl_memory_create(&arguments[i].memory, onednn_query(c, operands[i].layout), engine, operands[i].address);
  }
  if (status == dnnl_success) {
    arguments[4].arg = DNNL_ARG_BIAS;
    status = dnnl_memory_create(
        &arguments[4].memory, dnnl_primitive_desc_query_md(c->description, dnnl_query_weights_md, 1), engine, (void *)bias);
  }
  if (status == dnnl_success) status = dnnl_primitive_execute(c->primitive, stream, 5, arguments);
  if (status == dnnl_success) status = dnnl_stream_wait(stream);
  for (int i = 0; i < 5; i++)
    if (arguments[i].memory) dnnl_memory_destroy(arguments[i].memory);
  if (stream) dnnl_stream_destroy(stream);
  return status;
}

// A product of two matrices of one type (float32, bfloat16, int8) with a result of another (float32, of int8 also int32):
// [rows, inner] · [inner, columns], the left one dense. The right one is dense as it is named, or stored as [columns, inner] where
// `transposed`. Rows of the result are `stride` elements apart; with `accumulate` it is added to what is there. One primitive may run
// on many threads at once: its scratch memory comes from the caller.
typedef struct {
  int64_t rows, columns, inner, stride;
  dnnl_data_type_t type, sum;
  bool transposed, accumulate;
} onednn_product_extents;

typedef struct {
  dnnl_primitive_t primitive;
  dnnl_primitive_desc_t description;
  size_t scratch_bytes;
} onednn_product;

static inline void onednn_product_destroy(onednn_product *p) {
  if (p->primitive) dnnl_primitive_destroy(p->primitive);
  if (p->description) dnnl_primitive_desc_destroy(p->description);
  p->primitive = NULL;
  p->description = NULL;
}

static inline dnnl_status_t onednn_product_create(
    dnnl_engine_t engine, const onednn_product_extents *e, onednn_product *out) {
  onednn_product p = {0};
  dnnl_dims_t left = {e->rows, e->inner}, right = {e->inner, e->columns}, result = {e->rows, e->columns};
  dnnl_dims_t strides = {e->stride, 1};
  dnnl_format_tag_t order = e->transposed ? dnnl_ba : dnnl_ab;
  dnnl_primitive_attr_t attributes = NULL;
  dnnl_post_ops_t operations = NULL;
  dnnl_status_t status = dnnl_primitive_attr_create(&attributes);
  if (status == dnnl_success) status = dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
  if (status == dnnl_success && e->accumulate) {
    status = dnnl_post_ops_create(&operations);
#if DNNL_VERSION_MAJOR >= 3
    if (status == dnnl_success) status = dnnl_post_ops_append_sum(operations, 1, 0, dnnl_f32);
#else
    if (status == dnnl_success) status = dnnl_post_ops_append_sum(operations, 1);
#endif
    if (status == dnnl_success) status = dnnl_primitive_attr_set_post_ops(attributes, operations);
  }
#if DNNL_VERSION_MAJOR >= 3
  dnnl_memory_desc_t a = NULL, b = NULL, c = NULL;
  if (status == dnnl_success) status = dnnl_memory_desc_create_with_tag(&a, 2, left, e->type, dnnl_ab);
  if (status == dnnl_success) status = dnnl_memory_desc_create_with_tag(&b, 2, right, e->type, order);
  if (status == dnnl_success) status = dnnl_memory_desc_create_with_strides(&c, 2, result, e->sum, strides);
  if (status == dnnl_success)
    status = dnnl_matmul_primitive_desc_create(&p.description, engine, a, b, NULL, c, attributes);
  dnnl_memory_desc_t owned[] = {a, b, c};
  for (int i = 0; i < 3; i++)
    if (owned[i]) dnnl_memory_desc_destroy(owned[i]);
#else
  dnnl_memory_desc_t a, b, c;
  dnnl_matmul_desc_t matmul;
  if (status == dnnl_success) status = dnnl_memory_desc_init_by_tag(&a, 2, left, e->type, dnnl_ab);
  if (status == dnnl_success) status = dnnl_memory_desc_init_by_tag(&b, 2, right, e->type, order);
  if (status == dnnl_success) status = dnnl_memory_desc_init_by_strides(&c, 2, result, e->sum, strides);
  if (status == dnnl_success) status = dnnl_matmul_desc_init(&matmul, &a, &b, NULL, &c);
  if (status == dnnl_success) status = dnnl_primitive_desc_create(&p.description, &matmul, attributes, engine, NULL);
#endif
  if (status == dnnl_success) status = dnnl_primitive_create(&p.primitive, p.description);
  if (operations) dnnl_post_ops_destroy(operations);
  if (attributes) dnnl_primitive_attr_destroy(attributes);
  if (status == dnnl_success) {
    p.scratch_bytes = dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(p.description, dnnl_query_scratchpad_md, 0));
    *out = p;
  } else {
    onednn_product_destroy(&p);
  }
  return status;
}

// Multiplies on the calling thread's team.
static inline dnnl_status_t onednn_product_run(
    dnnl_engine_t engine, const onednn_product *p, const void *left, const void *right, void *result,
    void *scratch) {
  const struct {
    int argument;
    dnnl_query_t layout;
    void *address;
  } operands[] = {
      {DNNL_ARG_SRC, dnnl_query_src_md, (void *)left},
      {DNNL_ARG_WEIGHTS, dnnl_query_weights_md, (void *)right},
      {DNNL_ARG_DST, dnnl_query_dst_md, result},
      {DNNL_ARG_SCRATCHPAD, dnnl_query_scratchpad_md, scratch},
  };
  dnnl_exec_arg_t arguments[4] = {{0}};
  dnnl_stream_t stream = NULL;
  dnnl_status_t status = dnnl_stream_create(&stream, engine, dnnl_stream_default_flags);
  for (int i = 0; i < 4 && status == dnnl_success; i++) {
    arguments[i].arg = operands[i].argument;
    status = dnnl_memory_create(
        &arguments[i].memory, dnnl_primitive_desc_query_md(p->description, operands[i].layout, 0), engine,
        operands[i].address);
  }
  if (status == dnnl_success) status = dnnl_primitive_execute(p->primitive, stream, 4, arguments);
  if (status == dnnl_success) status = dnnl_stream_wait(stream);
  for (int i = 0; i < 4; i++)
    if (arguments[i].memory) dnnl_memory_destroy(arguments[i].memory);
  if (stream) dnnl_stream_destroy(stream);
  return status;
}
