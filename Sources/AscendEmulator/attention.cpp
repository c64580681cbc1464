// Attention: dense BNSD operands, sums in float32 in blocks of keys.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "operators.h"

using namespace emulator;

namespace {

struct Problem {
  int64_t batch, heads, keyHeads, queries, keys, size;
  float scale;
  std::vector<int64_t> lengths;
};

// As prompt_flash_attention_tiling.cpp (ops-transformer) has it for an Atlas A2: 16 MiB for the system, and for each of at most
// 48 cores two float32 results of either product; a core has at most 512 queries and 1024 keys at a time.
size_t tilingWorkspace(const Problem &a) {
  size_t queries = size_t(std::min<int64_t>(a.queries, 512)), keys = size_t(std::min<int64_t>(a.keys, 1024));
  return (size_t(16) << 20) + 48 * 4 * 2 * queries * (keys + size_t(a.size));
}

// One head: `out` [queries, size] and the logarithms of the denominators.
void attend(const Problem &a, const float *q, const float *k, const float *v, const float *hidden, int64_t valid,
            float *out, float *logarithms) {
  constexpr int64_t block = 128;
  std::vector<float> transposed(size_t(a.size * a.keys)), scores(block);
  for (int64_t j = 0; j < a.keys; j++)
    for (int64_t d = 0; d < a.size; d++) transposed[size_t(d * a.keys + j)] = k[j * a.size + d];
  for (int64_t i = 0; i < a.queries; i++) {
    float *row = out + i * a.size;
    std::fill(row, row + a.size, 0.0f);
    float largest = -std::numeric_limits<float>::infinity(), denominator = 0;
    for (int64_t start = 0; start < valid; start += block) {
      int64_t count = std::min(block, valid - start);
      std::fill(scores.begin(), scores.end(), 0.0f);
      for (int64_t d = 0; d < a.size; d++) {
        float factor = q[i * a.size + d];
        const float *keys = transposed.data() + d * a.keys + start;
        for (int64_t j = 0; j < count; j++) scores[size_t(j)] += factor * keys[j];
      }
      float blockLargest = largest;
      for (int64_t j = 0; j < count; j++) {
        scores[size_t(j)] *= a.scale;
        if (hidden && hidden[i * a.keys + start + j] != 0) scores[size_t(j)] = -std::numeric_limits<float>::infinity();
        blockLargest = std::max(blockLargest, scores[size_t(j)]);
      }
      if (std::isinf(blockLargest) && blockLargest < 0) continue;
      float correction = std::exp(largest - blockLargest);
      largest = blockLargest;
      denominator *= correction;
      for (int64_t d = 0; d < a.size; d++) row[d] *= correction;
      for (int64_t j = 0; j < count; j++) {
        float share = std::exp(scores[size_t(j)] - largest);
        denominator += share;
        const float *value = v + (start + j) * a.size;
        for (int64_t d = 0; d < a.size; d++) row[d] += share * value[d];
      }
    }
    if (denominator > 0)
      for (int64_t d = 0; d < a.size; d++) row[d] /= denominator;
    // Queries without a visible key give zeros and plus infinity.
    logarithms[i] = denominator > 0 ? largest + std::log(denominator) : std::numeric_limits<float>::infinity();
  }
}

}  // namespace

EMULATOR_PHASE_ONE(
    aclnnFusedInferAttentionScoreV2, const aclTensor *query, const aclTensorList *key, const aclTensorList *value,
    const aclTensor *pseShift, const aclTensor *attenMask, const aclIntArray *actualSeqLengths,
    const aclIntArray *actualSeqLengthsKv, const aclTensor *deqScale1, const aclTensor *quantScale1,
    const aclTensor *deqScale2, const aclTensor *quantScale2, const aclTensor *quantOffset2,
    const aclTensor *antiquantScale, const aclTensor *antiquantOffset, const aclTensor *blockTable,
    const aclTensor *queryPaddingSize, const aclTensor *kvPaddingSize, const aclTensor *keyAntiquantScale,
    const aclTensor *keyAntiquantOffset, const aclTensor *valueAntiquantScale, const aclTensor *valueAntiquantOffset,
    const aclTensor *keySharedPrefix, const aclTensor *valueSharedPrefix, const aclIntArray *actualSharedPrefixLen,
    int64_t numHeads, double scaleValue, int64_t preTokens, int64_t nextTokens, char *inputLayout, int64_t numKeyValueHeads,
    int64_t sparseMode, int64_t innerPrecise, int64_t blockSize, int64_t antiquantMode, bool softmaxLseFlag,
    int64_t keyAntiquantMode, int64_t valueAntiquantMode, const aclTensor *attentionOut, const aclTensor *softmaxLse) {
  return prepare("aclnnFusedInferAttentionScoreV2", workspaceSize, executor, [&](Preparation &p) {
    Operand q = p.tensor(query, "query"), z = p.result(attentionOut, "attentionOut");
    auto ks = p.list(key, "key"), vs = p.list(value, "value");
    p.require(ks.size() == 1 && vs.size() == 1, "key and value are not lists of one");
    Operand k = ks[0], v = vs[0];
    for (const void *unused :
         {(const void *)pseShift, (const void *)actualSeqLengths, (const void *)deqScale1, (const void *)quantScale1,
          (const void *)deqScale2, (const void *)quantScale2, (const void *)quantOffset2, (const void *)antiquantScale,
          (const void *)antiquantOffset, (const void *)blockTable, (const void *)queryPaddingSize,
          (const void *)kvPaddingSize, (const void *)keyAntiquantScale, (const void *)keyAntiquantOffset,
          (const void *)valueAntiquantScale, (const void *)valueAntiquantOffset, (const void *)keySharedPrefix,
          (const void *)valueSharedPrefix, (const void *)actualSharedPrefixLen})
      p.require(!unused, "an operand that is not emulated");
    p.require(antiquantMode == 0 && keyAntiquantMode == 0 && valueAntiquantMode == 0 && blockSize == 0,
              "a mode that is not emulated");
    p.require(inputLayout && std::strcmp(inputLayout, "BNSD") == 0, "the layout is not BNSD");
    p.require(q.rank() == 4 && k.rank() == 4, "operands are not [B, N, S, D]");
    p.require(q.type == ACL_BF16 || q.type == ACL_FLOAT16, "operands are not 16-bit");
    for (auto *operand : {&q, &k, &v, &z}) {
      p.requireSameType(*operand, q, "an operand");
      p.require(operand->isDense(), "an operand has gaps");
    }
    Problem a{q.extents[0], q.extents[1], k.extents[1], q.extents[2], k.extents[2], q.extents[3], float(scaleValue), {}};
    p.require(a.size % 16 == 0 && a.size <= 512, "D is no multiple of 16 up to 512");
    p.require(a.heads <= 256 && a.batch <= 65536 && std::max(a.queries, a.keys) <= 20971520, "an extent is too large");
    p.require(numHeads == a.heads && a.heads % a.keyHeads == 0, "numHeads is not query's");
    p.require(numKeyValueHeads == a.keyHeads || (numKeyValueHeads == 0 && a.keyHeads == a.heads),
              "numKeyValueHeads is not key's");
    p.requireShape(k, {a.batch, a.keyHeads, a.keys, a.size}, "key");
    p.requireShape(v, k.extents, "value");
    p.requireShape(z, q.extents, "attentionOut");
    p.require(sparseMode == 0, "a sparse mode that is not emulated");
    p.require(preTokens == INT32_MAX && nextTokens == INT32_MAX, "a band that is not emulated");
    std::vector<Operand> hidden, logarithms;
    if (attenMask) {
      hidden.push_back(p.tensor(attenMask, "attenMask"));
      auto &mask = hidden[0];
      p.require(mask.type == ACL_BOOL || mask.type == ACL_INT8 || mask.type == ACL_UINT8, "attenMask holds no bytes");
      p.require(mask.extents == Extents{a.queries, a.keys} || mask.extents == Extents{1, a.queries, a.keys} ||
                    mask.extents == Extents{a.batch, a.queries, a.keys} || mask.extents == Extents{1, 1, a.queries, a.keys} ||
                    mask.extents == Extents{a.batch, 1, a.queries, a.keys},
                "attenMask has a wrong shape");
      p.require(mask.isDense(), "attenMask has gaps");
      p.require(innerPrecise == 2 || innerPrecise == 3, "a mask may hide all keys of a query, which innerPrecise ignores");
    }
    if (actualSeqLengthsKv) {
      a.lengths = p.integers(actualSeqLengthsKv, "actualSeqLengthsKv");
      p.require(int64_t(a.lengths.size()) == a.batch || a.lengths.size() == 1, "actualSeqLengthsKv has a wrong length");
      for (auto length : a.lengths) p.require(length > 0 && length <= a.keys, "a length is out of range");
    }
    p.require(softmaxLseFlag == (softmaxLse != nullptr), "softmaxLse and its flag disagree");
    if (softmaxLse) {
      logarithms.push_back(p.result(softmaxLse, "softmaxLse"));
      p.require(logarithms[0].type == ACL_FLOAT, "softmaxLse is not float32");
      p.requireShape(logarithms[0], {a.batch, a.heads, a.queries, 1}, "softmaxLse");
      p.require(logarithms[0].isDense(), "softmaxLse has gaps");
    }
    double pairs = 0;
    for (int64_t item = 0; item < a.batch; item++)
      pairs += double(a.lengths.empty() ? a.keys : a.lengths[a.lengths.size() == 1 ? 0 : size_t(item)]);
    p.operations = 4 * pairs * double(a.heads * a.queries * a.size);
    p.workspace = 4097;
    p.working = tilingWorkspace(a);
    p.kernel = [=] {
      auto qs = read(q), keys = read(k), values = read(v);
      auto mask = hidden.empty() ? std::vector<float>() : read(hidden[0]);
      std::vector<float> out(qs.size()), logs(size_t(a.batch * a.heads * a.queries));
      int64_t head = a.queries * a.size, keyHead = a.keys * a.size, plane = a.queries * a.keys;
      parallel(a.batch * a.heads, a.batch * a.heads * plane * a.size, [&](int64_t i) {
        int64_t item = i / a.heads, group = item * a.keyHeads + i % a.heads / (a.heads / a.keyHeads);
        int64_t valid = a.lengths.empty() ? a.keys : a.lengths[a.lengths.size() == 1 ? 0 : size_t(item)];
        const float *rows = mask.empty() ? nullptr : mask.data() + (int64_t(mask.size()) > plane ? item * plane : 0);
        attend(a, qs.data() + i * head, keys.data() + group * keyHead, values.data() + group * keyHead, rows, valid,
               out.data() + i * head, logs.data() + i * a.queries);
      });
      write(z, out);
      if (!logarithms.empty()) write(logarithms[0], logs);
    };
  });
}
EMULATOR_PHASE_TWO(aclnnFusedInferAttentionScoreV2);
