#include "ops/cuda/device.cuh"
#include "ops/cuda/top_m.h"

namespace gtrain::ops::cuda {
namespace {

constexpr unsigned kAllLanes = 0xffffffffu;
constexpr int kWarps = 4;              // of a block whose warps each own a short segment
constexpr std::int64_t kShort = 1024;  // scores of the longest short segment
constexpr int kThreads = 256;          // of a block that owns a long segment
constexpr int kDigits = 256;
constexpr int kDigitBits = 8;

__device__ __forceinline__ std::uint32_t bits_of(float x) { return __float_as_uint(x); }
__device__ __forceinline__ std::uint64_t bits_of(double x) {
  std::uint64_t bits;
  memcpy(&bits, &x, sizeof(bits));
  return bits;
}

// Unsigned, in the order of the scores: negative numbers' bits are reversed, and NaN gets 0, which
// no number has. Adding 0 makes -0 into 0.
template <class A>
__device__ __forceinline__ auto order_key(A x) -> decltype(bits_of(x)) {
  using Key = decltype(bits_of(x));
  constexpr Key kSign = Key(1) << (8 * sizeof(Key) - 1);
  const Key bits = bits_of(x + A(0));
  if (x != x) return 0;
  return bits & kSign ? ~bits : bits | kSign;
}

template <class S>
using KeyOf = decltype(bits_of(compute_t<S>{}));

// A pair of numbers that order_key's callers carry along: what is above the threshold is kept, and
// the first `equal` of what equals it.
template <class Key>
struct Threshold {
  Key key;
  unsigned equal;
};

// The m-th largest of `count` keys, m >= 1: bits from the top, each 1 if at least m keys agree
// with the bits so far and have it, too.
template <class Key>
__device__ Threshold<Key> select_in_warp(const Key* keys, int count, unsigned m, int lane) {
  Key prefix = 0;
  for (int bit = 8 * static_cast<int>(sizeof(Key)) - 1; bit >= 0; --bit) {
    const Key wanted = (prefix >> bit) | 1;
    unsigned mine = 0;
    for (int i = lane; i < count; i += 32) mine += (keys[i] >> bit) == wanted;
    const unsigned with_bit = __reduce_add_sync(kAllLanes, mine);
    if (with_bit >= m) {
      prefix |= Key(1) << bit;
    } else {
      m -= with_bit;
    }
  }
  return {prefix, m};
}

// What a warp keeps of 32 neighbouring keys: lanes whose key lies above the threshold, and the
// first ones at it as long as `equal` lasts.
template <class Key>
__device__ __forceinline__ unsigned kept_lanes(Key key, bool present, Threshold<Key> threshold,
                                               int lane, unsigned& equal_seen) {
  const bool equal = present && key == threshold.key;
  const unsigned equals = __ballot_sync(kAllLanes, equal);
  const unsigned before = equal_seen + static_cast<unsigned>(__popc(equals & ((1u << lane) - 1)));
  equal_seen += static_cast<unsigned>(__popc(equals));
  return __ballot_sync(kAllLanes,
                       (present && key > threshold.key) || (equal && before < threshold.equal));
}

template <class S>
__global__ void __launch_bounds__(32 * kWarps) select_short(TopM<S> a) {
  using Key = KeyOf<S>;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const std::int64_t segment = static_cast<std::int64_t>(blockIdx.x) * kWarps + warp;
  if (segment >= a.segments) return;
  const std::int64_t begin = a.start[segment], size = a.start[segment + 1] - begin;
  std::int64_t to = a.kept_start[segment];
  const std::int64_t m = a.kept_start[segment + 1] - to;
  if (size > kShort || m == 0) return;
  const int count = static_cast<int>(size);
  Key* const keys = dynamic_shared<Key>() + warp * kShort;
  // A lane reads the keys that it wrote, and no others: no barrier.
  for (int i = lane; i < count; i += 32) keys[i] = order_key(to_float(a.score[begin + i]));
  const Threshold<Key> threshold = select_in_warp(keys, count, static_cast<unsigned>(m), lane);
  unsigned equal_seen = 0;
  for (int first = 0; first < count; first += 32) {
    const int i = first + lane;
    const bool present = i < count;
    const unsigned kept =
        kept_lanes(present ? keys[i] : Key(0), present, threshold, lane, equal_seen);
    if (kept >> lane & 1) a.kept[to + __popc(kept & ((1u << lane) - 1))] = begin + i;
    to += __popc(kept);
  }
}

struct LongShared {
  unsigned histogram[kDigits];
  unsigned digit, above;  // the digit chosen, and how many keys have a larger one
  unsigned equal_of[kThreads / 32], kept_of[kThreads / 32];
};

// The m-th largest key by digits from the top: each pass counts the digits of the keys that agree
// with the digits so far.
template <class S>
__device__ Threshold<KeyOf<S>> select_in_block(const S* score, std::int64_t count, unsigned m,
                                               LongShared& shared) {
  using Key = KeyOf<S>;
  const int thread = static_cast<int>(threadIdx.x);
  Key prefix = 0;
  for (int shift = 8 * static_cast<int>(sizeof(Key)) - kDigitBits; shift >= 0;
       shift -= kDigitBits) {
    shared.histogram[thread] = 0;
    __syncthreads();
    for (std::int64_t i = thread; i < count; i += kThreads) {
      const Key digits = order_key(to_float(score[i])) >> shift;
      if (digits >> kDigitBits == prefix) {
        atomicAdd(&shared.histogram[digits & (kDigits - 1)], 1u);
      }
    }
    __syncthreads();
    // The thread of the digit where the count from the top reaches m.
    unsigned above = 0;
    for (int d = thread + 1; d < kDigits; ++d) above += shared.histogram[d];
    if (above < m && above + shared.histogram[thread] >= m) {
      shared.digit = static_cast<unsigned>(thread);
      shared.above = above;
    }
    __syncthreads();
    prefix = prefix << kDigitBits | shared.digit;  // not written before two more barriers
    m -= shared.above;
  }
  return {prefix, m};
}

template <class S>
__global__ void __launch_bounds__(kThreads) select_long(TopM<S> a) {
  using Key = KeyOf<S>;
  LongShared& shared = *dynamic_shared<LongShared>();
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const std::int64_t segment = blockIdx.x;
  const std::int64_t begin = a.start[segment], count = a.start[segment + 1] - begin;
  std::int64_t to = a.kept_start[segment];
  const std::int64_t m = a.kept_start[segment + 1] - to;
  if (count <= kShort || m == 0) return;  // the whole block
  const Threshold<Key> threshold =
      select_in_block(a.score + begin, count, static_cast<unsigned>(m), shared);
  unsigned equal_before = 0;  // of the tiles so far
  for (std::int64_t first = 0; first < count; first += kThreads) {
    const std::int64_t i = first + thread;
    const bool present = i < count;
    const Key key = present ? order_key(to_float(a.score[begin + i])) : Key(0);
    const unsigned equals = __ballot_sync(kAllLanes, present && key == threshold.key);
    if (lane == 0) shared.equal_of[warp] = static_cast<unsigned>(__popc(equals));
    __syncthreads();
    unsigned equal_seen = equal_before;
    for (int w = 0; w < warp; ++w) equal_seen += shared.equal_of[w];
    for (int w = 0; w < kThreads / 32; ++w) equal_before += shared.equal_of[w];
    const unsigned kept = kept_lanes(key, present, threshold, lane, equal_seen);
    if (lane == 0) shared.kept_of[warp] = static_cast<unsigned>(__popc(kept));
    __syncthreads();
    std::int64_t place = to + __popc(kept & ((1u << lane) - 1));
    for (int w = 0; w < warp; ++w) place += shared.kept_of[w];
    for (int w = 0; w < kThreads / 32; ++w) to += shared.kept_of[w];
    if (kept >> lane & 1) a.kept[place] = begin + i;
  }
}

}  // namespace

template <class S>
void top_m(const TopM<S>& a, Stream stream) {
  if (a.segments == 0) return;
  launch(select_short<S>, dim3(grid_blocks((a.segments + kWarps - 1) / kWarps)), dim3(32 * kWarps),
         sizeof(KeyOf<S>) * kWarps * kShort, stream, a);
  if (a.longest > kShort) {
    launch(select_long<S>, dim3(grid_blocks(a.segments)), dim3(kThreads), sizeof(LongShared),
           stream, a);
  }
}

template void top_m<float>(const TopM<float>&, Stream);
template void top_m<double>(const TopM<double>&, Stream);
template void top_m<bf16>(const TopM<bf16>&, Stream);
template void top_m<f16>(const TopM<f16>&, Stream);

}  // namespace gtrain::ops::cuda
