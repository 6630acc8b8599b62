#include "gtrain/ops/top_m.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/detail/device.h"
#include "ops/detail/dtype.h"
#include "ops/detail/parallel.h"
#include "ops/detail/start_check.h"

namespace gtrain::ops {
namespace {

using Index = std::int64_t;

// Writes the `kept` best positions of [begin, end), ascending.
template <class S>
void select(const S* score, Index begin, Index end, Index kept, Index* out) {
  const auto count = static_cast<std::size_t>(end - begin);
  std::vector<Index> order(count);
  for (std::size_t i = 0; i < count; ++i) order[i] = begin + static_cast<Index>(i);
  if (static_cast<std::size_t>(kept) < count) {
    const auto better = [&](Index a, Index b) {
      const auto x = detail::widen(score[a]), y = detail::widen(score[b]);
      const bool x_nan = x != x, y_nan = y != y;
      if (x_nan != y_nan) return y_nan;
      return x > y || (!(y > x) && a < b);
    };
    std::nth_element(order.begin(), order.begin() + kept, order.end(), better);
    std::sort(order.begin(), order.begin() + kept);
  }
  std::copy_n(order.begin(), kept, out);
}

// kept(n): how many of n scores stay.
template <class Kept>
Selection select_all(const char* op, const at::Tensor& score_in, const at::Tensor& start,
                     const Kept& kept) {
  TORCH_CHECK(score_in.dim() == 1 || (score_in.dim() == 2 && score_in.size(1) == 1), "[", op,
              "] score has shape ", score_in.sizes(), "; expected [P] or [P, 1]");
  const Index* s = detail::check_start(op, "start", start, "R");
  const at::Tensor score = score_in.contiguous();
  const Index rows = start.size(0) - 1;
  TORCH_CHECK(s[0] == 0 && s[rows] == score.size(0), "[", op, "] start runs from ", s[0], " to ",
              s[rows], "; expected from 0 to ", score.size(0), " scores");
  Selection result{at::empty({rows + 1}, at::kLong), at::Tensor()};
  Index* to = detail::mutable_data<Index>(result.start);
  to[0] = 0;
  for (Index r = 0; r < rows; ++r) to[r + 1] = to[r] + kept(s[r + 1] - s[r]);
  if (detail::on_device(op, score)) {
    result.index = device::top_m(score, start, result.start);
    return result;
  }
  result.index = at::empty({to[rows]}, at::kLong);
  Index* out = detail::mutable_data<Index>(result.index);
  detail::with_storage(op, score.scalar_type(), [&]<class S>(detail::Storage<S>) {
    const S* p = detail::data<S>(score);
    detail::parallel_rows(rows, score.size(0) / std::max<Index>(rows, 1) + 1,
                          [&](Index, Index begin, Index end) {
                            for (Index r = begin; r < end; ++r) {
                              select(p, s[r], s[r + 1], to[r + 1] - to[r], out + to[r]);
                            }
                          });
  });
  return result;
}

}  // namespace

Selection top_m(const at::Tensor& score, const at::Tensor& start, std::int64_t m) {
  TORCH_CHECK(m >= 0, "[top_m] m is ", m, "; expected at least 0");
  return select_all("top_m", score, start, [&](Index n) { return std::min(n, m); });
}

Selection top_ratio(const at::Tensor& score, const at::Tensor& start, double ratio) {
  TORCH_CHECK(ratio >= 0 && ratio <= 1, "[top_ratio] ratio is ", ratio, "; expected [0, 1]");
  return select_all("top_ratio", score, start, [&](Index n) {
    return std::min(n, static_cast<Index>(std::ceil(ratio * static_cast<double>(n))));
  });
}

}  // namespace gtrain::ops
