// How an op reports its operations: at its front door, after its checks,
//   const detail::OpCount count;
//   if (count) count.add(Work::kMessage, detail::gine_flops(edges.count(), d));
// While the guard lives, operators of torch that the op is made of are not counted besides. The
// numbers are those of plain loops over the definition in the op's header: an addition,
// subtraction, multiplication, division or comparison is one operation, as is a value of exp, sqrt
// or erf; a change of sign, an index and a copy are none.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "gtrain/ops/flop_count.h"

namespace gtrain::ops::detail {

class OpCount {
 public:
  OpCount();
  ~OpCount();
  OpCount(const OpCount&) = delete;
  OpCount& operator=(const OpCount&) = delete;

  explicit operator bool() const { return state_ != nullptr; }
  void add(Work work, double flops, const at::Tensor& parameter = {}) const;
  // x W^T + b of `rows` rows, W [O, K]; b may be undefined.
  void product(std::int64_t rows, const at::Tensor& weight, const at::Tensor& bias) const;

 private:
  FlopCount::State* state_;
};

inline double flops(std::int64_t count, double each = 1) {
  return static_cast<double>(count) * each;
}

// Pairs of a graph's nodes with each other, of all graphs; starts on the CPU.
double square_pairs(const at::Tensor& graph_start);

// Softmax attention over `pairs`, `added` biases on each score; D channels in H heads. Per pair and
// head: 2 d of the score, its scale, the biases, the largest, difference, exp, sum, quotient, 2 d
// of the value.
inline double attention_flops(double pairs, std::int64_t width, std::int64_t heads, int added) {
  return pairs * (4.0 * static_cast<double>(width) + (6.0 + added) * static_cast<double>(heads));
}

// edge_attention.h: per pair and channel q k, scale, [e], sum and 2 of the value; per pair and head
// two clamps, exp and sum; per row the epsilon and the quotients.
inline double edge_attention_flops(double pairs, double rows, std::int64_t width,
                                   std::int64_t heads, bool edge) {
  const auto d = static_cast<double>(width), h = static_cast<double>(heads);
  return pairs * ((edge ? 6.0 : 5.0) * d + 4.0 * h) + rows * (h + d);
}

// linear_attention.h by way of the state: 2 (2 m d + 3 d + 6 m + 1) of the features of q and k, and
// 4 m d + 3 m + d of state and output, per row and head; d channels a head, m features.
inline double linear_attention_flops(double rows, std::int64_t heads, std::int64_t channels,
                                     std::int64_t features) {
  const auto d = static_cast<double>(channels), m = static_cast<double>(features);
  return rows * static_cast<double>(heads) *
         (2 * (2 * m * d + 3 * d + 6 * m + 1) + 4 * m * d + 3 * m + d);
}

// Mean and deviation of `groups` groups of numbers, then scale and shift: 7 a number and 4 a group.
inline double norm_flops(std::int64_t numbers, std::int64_t groups) {
  return flops(numbers, 7) + flops(groups, 4);
}

}  // namespace gtrain::ops::detail
