// CUDA's own names for a host compiler: with this, src/ops/cuda/*.cu is plain C++17 whose threads
// run as fibers under the emulator (device.h). It is what kernels see; tests include device.h.
//
// Collective calls meet at (file, line, mask). Plain loads and stores of a kernel reach the
// emulator because its object is compiled with -fsanitize=thread, linked to hooks.cpp.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(8) int2 {
  int x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(16) double2 {
  double x, y;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline double2 make_double2(double x, double y) { return {x, y}; }

namespace gtrain::simt {

// Where a collective call stands in the source; the default arguments below fill it in.
struct Site {
  const char* file;
  int line;
};

enum class Shuffle { kIndex, kXor, kUp, kDown };
enum class Vote { kBallot, kAny, kAll, kMatchAny, kAdd, kOr };

// Constant for the life of a thread, so the compiler may fetch them once.
__attribute__((const)) uint3 thread_index();
__attribute__((const)) uint3 block_index();
__attribute__((const)) dim3 block_size();
__attribute__((const)) dim3 grid_size();

void block_barrier(Site site);
void warp_barrier(unsigned mask, Site site);
std::uint64_t shuffle(Shuffle kind, unsigned mask, std::uint64_t value, int operand, int width,
                      Site site);
unsigned vote(Vote kind, unsigned mask, std::uint64_t value, Site site);

int atomic_add(int* p, int value);
unsigned atomic_add(unsigned* p, unsigned value);
unsigned long long atomic_add(unsigned long long* p, unsigned long long value);
int atomic_max(int* p, int value);
unsigned atomic_max(unsigned* p, unsigned value);
unsigned long long atomic_max(unsigned long long* p, unsigned long long value);

// The read-only path: a finding where this launch wrote the data.
void load_read_only(void* out, const void* p, int bytes);

}  // namespace gtrain::simt

#define threadIdx (::gtrain::simt::thread_index())
#define blockIdx (::gtrain::simt::block_index())
#define blockDim (::gtrain::simt::block_size())
#define gridDim (::gtrain::simt::grid_size())
constexpr int warpSize = 32;

#define GTRAIN_SITE ::gtrain::simt::Site site = {__builtin_FILE(), __builtin_LINE()}

inline void __syncthreads(GTRAIN_SITE) { gtrain::simt::block_barrier(site); }
inline void __syncwarp(unsigned mask = 0xffffffffu, GTRAIN_SITE) {
  gtrain::simt::warp_barrier(mask, site);
}

namespace gtrain::simt {

template <class T>
inline T shuffle_as(Shuffle kind, unsigned mask, T value, int operand, int width, Site site) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles move 32 or 64 bits");
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = shuffle(kind, mask, bits, operand, width, site);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

}  // namespace gtrain::simt

template <class T>
inline T __shfl_sync(unsigned mask, T value, int lane, int width = 32, GTRAIN_SITE) {
  return gtrain::simt::shuffle_as(gtrain::simt::Shuffle::kIndex, mask, value, lane, width, site);
}
template <class T>
inline T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, GTRAIN_SITE) {
  return gtrain::simt::shuffle_as(gtrain::simt::Shuffle::kXor, mask, value, lanes, width, site);
}
template <class T>
inline T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32, GTRAIN_SITE) {
  return gtrain::simt::shuffle_as(gtrain::simt::Shuffle::kUp, mask, value, static_cast<int>(by),
                                  width, site);
}
template <class T>
inline T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32, GTRAIN_SITE) {
  return gtrain::simt::shuffle_as(gtrain::simt::Shuffle::kDown, mask, value, static_cast<int>(by),
                                  width, site);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, GTRAIN_SITE) {
  return gtrain::simt::vote(gtrain::simt::Vote::kBallot, mask, predicate != 0, site);
}
inline int __any_sync(unsigned mask, int predicate, GTRAIN_SITE) {
  return gtrain::simt::vote(gtrain::simt::Vote::kAny, mask, predicate != 0, site) != 0;
}
inline int __all_sync(unsigned mask, int predicate, GTRAIN_SITE) {
  return gtrain::simt::vote(gtrain::simt::Vote::kAll, mask, predicate != 0, site) != 0;
}
template <class T>
inline unsigned __match_any_sync(unsigned mask, T value, GTRAIN_SITE) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  return gtrain::simt::vote(gtrain::simt::Vote::kMatchAny, mask, bits, site);
}
inline unsigned __reduce_add_sync(unsigned mask, unsigned value, GTRAIN_SITE) {
  return gtrain::simt::vote(gtrain::simt::Vote::kAdd, mask, value, site);
}
inline unsigned __reduce_or_sync(unsigned mask, unsigned value, GTRAIN_SITE) {
  return gtrain::simt::vote(gtrain::simt::Vote::kOr, mask, value, site);
}

inline int atomicAdd(int* p, int value) { return gtrain::simt::atomic_add(p, value); }
inline int atomicMax(int* p, int value) { return gtrain::simt::atomic_max(p, value); }
inline unsigned atomicAdd(unsigned* p, unsigned value) {
  return gtrain::simt::atomic_add(p, value);
}
inline unsigned atomicMax(unsigned* p, unsigned value) {
  return gtrain::simt::atomic_max(p, value);
}
inline unsigned long long atomicAdd(unsigned long long* p, unsigned long long value) {
  return gtrain::simt::atomic_add(p, value);
}
inline unsigned long long atomicMax(unsigned long long* p, unsigned long long value) {
  return gtrain::simt::atomic_max(p, value);
}

template <class T>
inline T __ldg(const T* p) {
  T out;
  gtrain::simt::load_read_only(&out, p, sizeof(T));
  return out;
}

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
  const std::uint64_t both = static_cast<std::uint64_t>(high) << 32 | low;
  return static_cast<unsigned>(both >> (shift & 31));
}
inline unsigned __float_as_uint(float x) {
  unsigned bits;
  std::memcpy(&bits, &x, sizeof(bits));
  return bits;
}
inline int __float_as_int(float x) { return static_cast<int>(__float_as_uint(x)); }
inline float __uint_as_float(unsigned bits) {
  float x;
  std::memcpy(&x, &bits, sizeof(x));
  return x;
}
inline float __int_as_float(int bits) { return __uint_as_float(static_cast<unsigned>(bits)); }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }

// CUDA has these without a namespace, for mixed signs and widths as well.
template <class A, class B>
constexpr auto min(A a, B b) -> decltype(a < b ? a : b) {
  return a < b ? a : b;
}
template <class A, class B>
constexpr auto max(A a, B b) -> decltype(a < b ? a : b) {
  return a < b ? b : a;
}
