#include "gtrain/ops/segment.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <vector>

#include "ops/detail/device.h"
#include "ops/detail/first_derivative.h"
#include "ops/detail/op_count.h"
#include "ops/detail/segment_sum.h"
#include "ops/detail/start_check.h"

namespace gtrain::ops {
namespace {

using detail::SegmentTask;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Index = std::int64_t;

class SegmentSum : public torch::autograd::Function<SegmentSum> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_in, const at::Tensor& start,
                            bool mean) {
    ctx->save_for_backward({start});
    ctx->saved_data["mean"] = mean;
    return detail::segment_sum(x_in.contiguous(), at::Tensor(), start, mean);
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    detail::first_derivative_only("segment_sum");
    const at::Tensor start = ctx->get_saved_variables()[0], g = grads[0].contiguous();
    const bool mean = ctx->saved_data["mean"].toBool();
    const Index* s = detail::data<Index>(start);
    const Index d = g.size(1);
    at::Tensor dx = at::empty({s[g.size(0)], d}, g.options());
    detail::with_storage("segment_sum", g.scalar_type(), [&]<class S>(detail::Storage<S>) {
      using T = detail::Compute<S>;
      const S* gp = detail::data<S>(g);
      S* out = detail::mutable_data<S>(dx);
      detail::for_segment_tasks(detail::segment_plan(s, g.size(0)), d, [&](const SegmentTask& t) {
        for (Index i = t.first; i < t.last; ++i) {
          const Index begin = std::max(t.begin, s[i]), end = std::min(t.end, s[i + 1]);
          const T scale = mean ? T{1} / static_cast<T>(std::max<Index>(1, s[i + 1] - s[i])) : T{1};
          detail::kernels<S>().segment.part_spread(begin, end, d, gp + i * d, scale, out);
        }
      });
    });
    return {dx, at::Tensor(), at::Tensor()};
  }
};

// Adds the part (b, at_b) to the part (a, at_a): the earlier one wins a tie, NaN wins over numbers.
template <class T>
void merge_largest(Index d, T* a, Index* at_a, const T* b, const Index* at_b) {
  for (Index c = 0; c < d; ++c) {
    if (b[c] > a[c] || (b[c] != b[c] && a[c] == a[c])) {
      a[c] = b[c];
      at_a[c] = at_b[c];
    }
  }
}

class SegmentMax : public torch::autograd::Function<SegmentMax> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_in, const at::Tensor& start) {
    const at::Tensor x = x_in.contiguous();
    const Index g = start.size(0) - 1, d = x.size(1);
    at::Tensor out = at::empty({g, d}, x.options()), argmax = at::empty({g, d}, at::kLong);
    detail::with_storage("segment_max", x.scalar_type(),
                         [&]<class S>(detail::Storage<S>) { largest<S>(x, start, out, argmax); });
    ctx->save_for_backward({argmax});
    ctx->saved_data["rows"] = x.size(0);
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    detail::first_derivative_only("segment_max");
    const at::Tensor argmax = ctx->get_saved_variables()[0], g = grads[0].contiguous();
    const Index d = g.size(1);
    at::Tensor dx = at::zeros({ctx->saved_data["rows"].toInt(), d}, g.options());
    const Index* at = detail::data<Index>(argmax);
    detail::with_storage("segment_max", g.scalar_type(), [&]<class S>(detail::Storage<S>) {
      const S* gp = detail::data<S>(g);
      S* out = detail::mutable_data<S>(dx);
      detail::parallel_rows(g.size(0), d, [&](Index, Index begin, Index end) {
        for (Index i = begin * d; i < end * d; ++i) {
          if (at[i] >= 0) out[at[i] * d + i % d] = gp[i];
        }
      });
    });
    return {dx, at::Tensor()};
  }

 private:
  template <class S>
  static void largest(const at::Tensor& x, const at::Tensor& start, at::Tensor& out,
                      at::Tensor& argmax) {
    using T = detail::Compute<S>;
    const auto& kernel = detail::kernels<S>().segment;
    const Index d = x.size(1), *s = detail::data<Index>(start);
    const S* xp = detail::data<S>(x);
    S* op = detail::mutable_data<S>(out);
    Index* ap = detail::mutable_data<Index>(argmax);
    const auto plan = detail::segment_plan(s, start.size(0) - 1);
    std::vector<T> value(static_cast<std::size_t>(plan.parts * d));
    std::vector<Index> where(value.size());
    detail::for_segment_tasks(plan, d, [&](const SegmentTask& t) {
      if (t.part < 0) return kernel.max(t.first, t.last, d, xp, s, op, ap);
      kernel.part_max(t.begin, t.end, d, xp, value.data() + t.part * d, where.data() + t.part * d);
    });
    for (const detail::CutSegment& cut : plan.cuts) {
      T* first = value.data() + cut.first_part * d;
      Index* first_at = where.data() + cut.first_part * d;
      for (Index p = 1; p < cut.parts; ++p) {
        merge_largest(d, first, first_at, first + p * d, first_at + p * d);
      }
      for (Index c = 0; c < d; ++c) detail::narrow(first[c], op[cut.segment * d + c]);
      std::copy_n(first_at, d, ap + cut.segment * d);
    }
  }
};

class SegmentSoftmax : public torch::autograd::Function<SegmentSoftmax> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_in, const at::Tensor& start) {
    const at::Tensor x = x_in.contiguous();
    at::Tensor y = at::empty_like(x);
    detail::with_storage("segment_softmax", x.scalar_type(),
                         [&]<class S>(detail::Storage<S>) { softmax<S>(x, start, y); });
    ctx->save_for_backward({y, start});
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    detail::first_derivative_only("segment_softmax");
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor g = grads[0].contiguous();
    at::Tensor dx = at::empty_like(g);
    detail::with_storage("segment_softmax", g.scalar_type(), [&]<class S>(detail::Storage<S>) {
      softmax_backward<S>(saved[0], g, saved[1], dx);
    });
    return {dx, at::Tensor()};
  }

 private:
  template <class S>
  static void softmax(const at::Tensor& x, const at::Tensor& start, at::Tensor& y) {
    using T = detail::Compute<S>;
    const auto& kernel = detail::kernels<S>().segment;
    const Index d = x.size(1), *s = detail::data<Index>(start);
    const S* xp = detail::data<S>(x);
    S* yp = detail::mutable_data<S>(y);
    const auto plan = detail::segment_plan(s, start.size(0) - 1);
    std::vector<T> largest(static_cast<std::size_t>(plan.parts * d)), sum(largest);
    detail::for_segment_tasks(plan, d, [&](const SegmentTask& t) {
      if (t.part < 0) return kernel.softmax(t.first, t.last, d, xp, s, yp);
      kernel.part_exponentials(t.begin, t.end, d, xp, largest.data() + t.part * d,
                               sum.data() + t.part * d);
    });
    for (const detail::CutSegment& cut : plan.cuts) {
      merge_exponentials(cut, d, largest.data(), sum.data());
    }
    detail::for_cut_tasks(plan, d, [&](const SegmentTask& t, Index first_part) {
      kernel.part_softmax(t.begin, t.end, d, xp, largest.data() + first_part * d,
                          sum.data() + first_part * d, yp);
    });
  }

  // Leaves the maximum and the inverse of the sum of a cut segment in its first part.
  template <class T>
  static void merge_exponentials(const detail::CutSegment& cut, Index d, T* largest, T* sum) {
    detail::merge_tree(cut.first_part, cut.parts, [&](Index a, Index b) {
      for (Index c = 0; c < d; ++c) {
        T &ma = largest[a * d + c], &sa = sum[a * d + c];
        const T mb = largest[b * d + c], sb = sum[b * d + c];
        const T m = sa == 0 ? mb : sb == 0 ? ma : std::max(ma, mb);
        sa = (sa == 0 ? 0 : sa * std::exp(ma - m)) + (sb == 0 ? 0 : sb * std::exp(mb - m));
        ma = m;
      }
    });
    for (Index c = 0; c < d; ++c) {
      T& total = sum[cut.first_part * d + c];
      total = total == 0 ? 0 : 1 / total;
    }
  }

  template <class S>
  static void softmax_backward(const at::Tensor& y, const at::Tensor& g, const at::Tensor& start,
                               at::Tensor& dx) {
    using T = detail::Compute<S>;
    const auto& kernel = detail::kernels<S>().segment;
    const Index d = y.size(1), *s = detail::data<Index>(start);
    const S *yp = detail::data<S>(y), *gp = detail::data<S>(g);
    S* out = detail::mutable_data<S>(dx);
    const auto plan = detail::segment_plan(s, start.size(0) - 1);
    std::vector<T> dot(static_cast<std::size_t>(plan.parts * d));
    detail::for_segment_tasks(plan, d, [&](const SegmentTask& t) {
      if (t.part < 0) return kernel.softmax_backward(t.first, t.last, d, yp, gp, s, out);
      kernel.part_dot(t.begin, t.end, d, yp, gp, dot.data() + t.part * d);
    });
    for (const detail::CutSegment& cut : plan.cuts) detail::add_parts(cut, d, dot.data());
    detail::for_cut_tasks(plan, d, [&](const SegmentTask& t, Index first_part) {
      kernel.part_softmax_backward(t.begin, t.end, d, yp, gp, dot.data() + first_part * d, out);
    });
  }
};

void check(const char* op, const at::Tensor& x, const at::Tensor& start) {
  TORCH_CHECK(x.dim() == 2, "[", op, "] x has shape ", x.sizes(), "; expected [N, D]");
  const Index* s = detail::check_start(op, "start", start);
  TORCH_CHECK(s[0] == 0 && s[start.size(0) - 1] == x.size(0), "[", op, "] start runs from ", s[0],
              " to ", s[start.size(0) - 1], "; expected from 0 to ", x.size(0), " rows of x");
}

}  // namespace

at::Tensor segment_sum(const at::Tensor& x, const at::Tensor& start) {
  check("segment_sum", x, start);
  const detail::OpCount count;
  if (count) count.add(Work::kMessage, detail::flops(x.numel()));
  if (detail::on_device("segment_sum", x)) return device::segment_sum(x, start);
  return SegmentSum::apply(x, start, false);
}

at::Tensor segment_mean(const at::Tensor& x, const at::Tensor& start) {
  check("segment_mean", x, start);
  const detail::OpCount count;
  if (count) count.add(Work::kMessage, detail::flops(x.numel() + (start.size(0) - 1) * x.size(1)));
  if (detail::on_device("segment_mean", x)) return device::segment_mean(x, start);
  return SegmentSum::apply(x, start, true);
}

at::Tensor segment_max(const at::Tensor& x, const at::Tensor& start) {
  check("segment_max", x, start);
  const detail::OpCount count;
  if (count) count.add(Work::kMessage, detail::flops(x.numel()));
  if (detail::on_device("segment_max", x)) return device::segment_max(x, start);
  return SegmentMax::apply(x, start);
}

at::Tensor segment_softmax(const at::Tensor& x, const at::Tensor& start) {
  check("segment_softmax", x, start);
  const detail::OpCount count;
  if (count) count.add(Work::kMessage, detail::flops(x.numel(), 5));
  if (detail::on_device("segment_softmax", x)) return device::segment_softmax(x, start);
  return SegmentSoftmax::apply(x, start);
}

}  // namespace gtrain::ops
