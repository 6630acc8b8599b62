// The CPU kernels of varlen attention: some heads of one graph, on raw pointers. Pointers name row
// 0 of the graph and channel 0 of head 0; head h lies h * width further, of lse h further.
#pragma once

#include <cstdint>

namespace gtrain::ops::detail {

// What is added to the scores of one graph; null where there is none.
template <class T>
struct VarlenBias {
  const std::uint8_t* hops = nullptr;  // [n, n]
  const T* table = nullptr;            // [heads, buckets]
  std::int64_t buckets = 0;
  const T* pair = nullptr;  // [n, n] of head 0; head h lies h * pair_plane further
  std::int64_t pair_plane = 0;
  // Backward only.
  T* dtable = nullptr;  // [heads, buckets], added to
  T* dpair = nullptr;   // written, laid out as pair
};

template <class T>
struct VarlenGraph {
  std::int64_t n = 0;      // nodes of the graph
  std::int64_t width = 0;  // channels d of a head
  std::int64_t first_head = 0, last_head = 0, heads = 0;
  std::int64_t stride = 0;  // of the rows of q, k, v and their gradients
  const T *q = nullptr, *k = nullptr, *v = nullptr;
  T* out = nullptr;
  std::int64_t out_stride = 0;
  T* lse = nullptr;             // [n, heads]: the row's log2 of the sum of 2^(log2(e) score)
  std::uint32_t threshold = 0;  // dropout, see detail/random.h; 0: none
  T keep_scale = 1;             // 1/(1-p)
  std::uint64_t key = 0;
  std::int64_t first_row = 0;  // of the graph in the batch: row i, head h draws from stream
                               // (first_row + i) * heads + h
  VarlenBias<T> bias;
  // Backward only.
  const T* dout = nullptr;                        // laid out as out
  T *dq = nullptr, *dk = nullptr, *dv = nullptr;  // written
};

template <class T>
struct VarlenKernels {
  void (*forward)(const VarlenGraph<T>&);
  void (*backward)(const VarlenGraph<T>&);
};

}  // namespace gtrain::ops::detail
