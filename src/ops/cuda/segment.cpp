// Segment reductions, gather, scatter and top-m on CUDA tensors.
#include "ops/cuda/segment.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "ops/cuda/tensor.h"
#include "ops/cuda/top_m.h"
#include "ops/detail/device.h"
#include "ops/detail/first_derivative.h"

namespace gtrain::ops {
namespace {

using cuda::data;
using cuda::Element;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Index = std::int64_t;

cuda::Segments segments_of(Index rows, const at::Tensor& start, Index width) {
  return {rows, start.size(0) - 1, width, data<Index>(start)};
}

// position: int64 [rows of the CSR] or undefined.
at::Tensor sum_rows(const at::Tensor& x, const at::Tensor& start, const at::Tensor& position,
                    bool mean) {
  const Index rows = position.defined() ? position.size(0) : x.size(0), d = x.size(1);
  at::Tensor out = at::empty({start.size(0) - 1, d}, x.options());
  const cuda::Launches launches(x);
  const at::Tensor work = cuda::workspace(cuda::segment_workspace(rows, d), x);
  cuda::with_element("segment_sum", x.scalar_type(), [&]<class S>(Element<S>) {
    cuda::segment_sum<S>({segments_of(rows, start, d), data<const Index>(position), mean},
                         data<const S>(x), data<S>(out), work.mutable_data_ptr(),
                         launches.stream());
  });
  launches.check();
  return out;
}

at::Tensor take_rows(const at::Tensor& x, const at::Tensor& index) {
  at::Tensor out = at::empty({index.size(0), x.size(1)}, x.options());
  const cuda::Launches launches(x);
  cuda::with_element("gather", x.scalar_type(), [&]<class S>(Element<S>) {
    cuda::gather<S>(index.size(0), x.size(1), data<const Index>(index), data<const S>(x),
                    data<S>(out), launches.stream());
  });
  launches.check();
  return out;
}

class SegmentSum : public torch::autograd::Function<SegmentSum> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& start,
                            bool mean) {
    ctx->save_for_backward({start});
    ctx->saved_data["mean"] = mean;
    ctx->saved_data["rows"] = x.size(0);
    return sum_rows(x.contiguous(), start, at::Tensor(), mean);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    detail::first_derivative_only("segment_sum");
    const at::Tensor start = ctx->get_saved_variables()[0], g = grads[0].contiguous();
    const Index rows = ctx->saved_data["rows"].toInt(), d = g.size(1);
    at::Tensor dx = at::empty({rows, d}, g.options());
    const cuda::Launches launches(g);
    cuda::with_element("segment_sum", g.scalar_type(), [&]<class S>(Element<S>) {
      cuda::segment_sum_backward<S>(
          {segments_of(rows, start, d), nullptr, ctx->saved_data["mean"].toBool()},
          data<const S>(g), data<S>(dx), launches.stream());
    });
    launches.check();
    return {dx, at::Tensor(), at::Tensor()};
  }
};

class SegmentMax : public torch::autograd::Function<SegmentMax> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_in, const at::Tensor& start) {
    const at::Tensor x = x_in.contiguous();
    const Index rows = x.size(0), d = x.size(1);
    at::Tensor out = at::empty({start.size(0) - 1, d}, x.options());
    const at::Tensor argmax = at::empty(out.sizes(), x.options().dtype(at::kLong));
    const cuda::Launches launches(x);
    const at::Tensor work = cuda::workspace(cuda::segment_workspace(rows, d), x);
    cuda::with_element("segment_max", x.scalar_type(), [&]<class S>(Element<S>) {
      cuda::segment_max<S>(segments_of(rows, start, d), data<const S>(x), data<S>(out),
                           data<Index>(argmax), work.mutable_data_ptr(), launches.stream());
    });
    launches.check();
    ctx->save_for_backward({argmax, start});
    ctx->saved_data["rows"] = rows;
    return out;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    detail::first_derivative_only("segment_max");
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor g = grads[0].contiguous();
    const Index rows = ctx->saved_data["rows"].toInt(), d = g.size(1);
    at::Tensor dx = at::empty({rows, d}, g.options());
    const cuda::Launches launches(g);
    cuda::with_element("segment_max", g.scalar_type(), [&]<class S>(Element<S>) {
      cuda::segment_max_backward<S>(segments_of(rows, saved[1], d), data<const S>(g),
                                    data<const Index>(saved[0]), data<S>(dx), launches.stream());
    });
    launches.check();
    return {dx, at::Tensor()};
  }
};

class SegmentSoftmax : public torch::autograd::Function<SegmentSoftmax> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_in, const at::Tensor& start) {
    const at::Tensor x = x_in.contiguous();
    const Index rows = x.size(0), d = x.size(1);
    at::Tensor y = at::empty_like(x);
    const at::Tensor statistics = at::empty({start.size(0) - 1, d, 2}, cuda::compute_options(x));
    const cuda::Launches launches(x);
    const at::Tensor work = cuda::workspace(cuda::segment_workspace(rows, d), x);
    cuda::with_element("segment_softmax", x.scalar_type(), [&]<class S>(Element<S>) {
      using A = cuda::compute_t<S>;
      cuda::segment_softmax<S>(segments_of(rows, start, d), data<const S>(x), data<S>(y),
                               data<A>(statistics), work.mutable_data_ptr(), launches.stream());
    });
    launches.check();
    ctx->save_for_backward({y, start});
    return y;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    detail::first_derivative_only("segment_softmax");
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &y = saved[0], &start = saved[1], g = grads[0].contiguous();
    const Index rows = y.size(0), d = y.size(1);
    at::Tensor dx = at::empty_like(y);
    const at::Tensor dot = at::empty({start.size(0) - 1, d}, cuda::compute_options(y));
    const cuda::Launches launches(y);
    const at::Tensor work = cuda::workspace(cuda::segment_workspace(rows, d), y);
    cuda::with_element("segment_softmax", y.scalar_type(), [&]<class S>(Element<S>) {
      using A = cuda::compute_t<S>;
      const cuda::SoftmaxBackward<S> backward{data<const S>(y), data<const S>(g), data<S>(dx),
                                              data<A>(dot)};
      cuda::segment_softmax_backward<S>(segments_of(rows, start, d), backward,
                                        work.mutable_data_ptr(), launches.stream());
    });
    launches.check();
    return {dx, at::Tensor()};
  }
};

class Gather : public torch::autograd::Function<Gather> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& index,
                            const at::Tensor& start, const at::Tensor& position) {
    ctx->save_for_backward({start, position});
    return take_rows(x.contiguous(), index);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    detail::first_derivative_only("gather");
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor none;
    return {sum_rows(grads[0].contiguous(), saved[0], saved[1], false), none, none, none};
  }
};

class ScatterAdd : public torch::autograd::Function<ScatterAdd> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& index,
                            const at::Tensor& start, const at::Tensor& position) {
    ctx->save_for_backward({index});
    return sum_rows(x.contiguous(), start, position, false);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    detail::first_derivative_only("scatter_add");
    const at::Tensor none;
    return {take_rows(grads[0].contiguous(), ctx->get_saved_variables()[0]), none, none, none};
  }
};

}  // namespace

namespace device {

at::Tensor segment_sum(const at::Tensor& x, const at::Tensor& start) {
  return SegmentSum::apply(x, cuda::index_on(start, x), false);
}

at::Tensor segment_mean(const at::Tensor& x, const at::Tensor& start) {
  return SegmentSum::apply(x, cuda::index_on(start, x), true);
}

at::Tensor segment_max(const at::Tensor& x, const at::Tensor& start) {
  return SegmentMax::apply(x, cuda::index_on(start, x));
}

at::Tensor segment_softmax(const at::Tensor& x, const at::Tensor& start) {
  return SegmentSoftmax::apply(x, cuda::index_on(start, x));
}

at::Tensor gather(const at::Tensor& x, const RowIndex& index) {
  return Gather::apply(x, cuda::index_on(index.index, x), cuda::index_on(index.start, x),
                       cuda::index_on(index.position, x));
}

at::Tensor scatter_add(const at::Tensor& x, const RowIndex& index) {
  return ScatterAdd::apply(x, cuda::index_on(index.index, x), cuda::index_on(index.start, x),
                           cuda::index_on(index.position, x));
}

at::Tensor top_m(const at::Tensor& score_in, const at::Tensor& start, const at::Tensor& kept) {
  const at::Tensor score = score_in.detach().contiguous();
  const Index segments = start.size(0) - 1;
  const Index *s = data<const Index>(start), *k = data<const Index>(kept);
  Index longest = 0;
  for (Index i = 0; i < segments; ++i) longest = std::max(longest, s[i + 1] - s[i]);
  at::Tensor out = at::empty({k[segments]}, score.options().dtype(at::kLong));
  const at::Tensor starts = cuda::index_on(start, score), to = kept.to(score.device());
  const cuda::Launches launches(score);
  cuda::with_element("top_m", score.scalar_type(), [&]<class S>(Element<S>) {
    cuda::top_m<S>({data<const S>(score), data<const Index>(starts), data<const Index>(to),
                    segments, longest, data<Index>(out)},
                   launches.stream());
  });
  launches.check();
  return out;
}

}  // namespace device
}  // namespace gtrain::ops
