#include "gtrain/ops/dense_chain.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "gtrain/ops/linear.h"
#include "ops/detail/gemm.h"
#include "ops/detail/kernels.h"
#include "ops/detail/parallel.h"

namespace gtrain::ops {
namespace {

using Index = std::int64_t;

void check(const at::Tensor& x, const std::vector<DenseLayer>& layers,
           const std::vector<RowTerm>& terms) {
  TORCH_CHECK(x.dim() == 2 && !layers.empty(), "[dense_chain] x has shape ", x.sizes(),
              "; expected [N, K], and a layer at least");
  Index width = x.size(1);
  for (const DenseLayer& layer : layers) {
    TORCH_CHECK(layer.weight.dim() == 2 && layer.weight.size(1) == width &&
                    layer.weight.scalar_type() == x.scalar_type(),
                "[dense_chain] a weight has shape ", layer.weight.sizes(), " and type ",
                layer.weight.scalar_type(), "; expected [O, ", width, "] and ", x.scalar_type());
    width = layer.weight.size(0);
    TORCH_CHECK(!layer.bias.defined() || (layer.bias.dim() == 1 && layer.bias.size(0) == width &&
                                          layer.bias.scalar_type() == x.scalar_type()),
                "[dense_chain] a bias has shape ", layer.bias.sizes(), " and type ",
                layer.bias.scalar_type(), "; expected [", width, "] and ", x.scalar_type());
  }
  for (const RowTerm& term : terms) {
    TORCH_CHECK(term.rows.dim() == 2 && term.rows.size(0) == x.size(0) &&
                    term.rows.size(1) == width && term.rows.scalar_type() == x.scalar_type(),
                "[dense_chain] a term has shape ", term.rows.sizes(), " and type ",
                term.rows.scalar_type(), "; expected [", x.size(0), ", ", width, "] and ",
                x.scalar_type());
    TORCH_CHECK(!term.scale.defined() || (term.scale.dim() == 1 && term.scale.size(0) == width &&
                                          term.scale.scalar_type() == x.scalar_type()),
                "[dense_chain] a scale has shape ", term.scale.sizes(), " and type ",
                term.scale.scalar_type(), "; expected [", width, "] and ", x.scalar_type());
  }
}

// The same, an op a step.
at::Tensor step_by_step(const at::Tensor& x, const std::vector<DenseLayer>& layers,
                        const std::vector<RowTerm>& terms) {
  at::Tensor y = x;
  for (const DenseLayer& layer : layers) {
    const bool rectified = layer.activation == RowActivation::kRelu;
    y = linear(y, layer.weight, layer.bias, rectified);
    if (layer.activation == RowActivation::kGelu) {
      y = activate_rows(y, {}, {.activation = layer.activation});
    }
  }
  for (const RowTerm& term : terms) {
    y = activate_rows(y, {}, {}, term.scale.defined() ? term.rows * term.scale : term.rows);
  }
  return y;
}

template <class T>
struct Step {
  Index inputs, outputs;
  const T *weight, *transposed, *bias;
  RowActivation activation;
};

template <class T>
class Chain {
 public:
  Chain(const at::Tensor& x, const std::vector<DenseLayer>& layers,
        const std::vector<RowTerm>& terms) {
    for (const DenseLayer& layer : layers) {
      const at::Tensor w = hold(layer.weight);
      const at::Tensor wt = detail::wants_transposed<T>() ? hold(w.t()) : at::Tensor();
      const at::Tensor b = layer.bias.defined() ? hold(layer.bias) : at::Tensor();
      steps_.push_back({w.size(1), w.size(0), w.template const_data_ptr<T>(),
                        wt.defined() ? wt.template const_data_ptr<T>() : nullptr,
                        b.defined() ? b.template const_data_ptr<T>() : nullptr, layer.activation});
      widest_ = std::max(widest_, w.size(0));
    }
    width_ = steps_.back().outputs;
    for (const RowTerm& term : terms) {
      const at::Tensor rows = hold(term.rows);
      const at::Tensor scale = term.scale.defined() ? hold(term.scale) : at::Tensor();
      terms_.emplace_back(rows.template const_data_ptr<T>(),
                          scale.defined() ? scale.template const_data_ptr<T>() : nullptr);
    }
    zero_.resize(static_cast<std::size_t>(width_));
    x_ = hold(x).template const_data_ptr<T>();
  }

  // Rows [begin, end) of y.
  void run(Index begin, Index end, T* y) const {
    thread_local std::vector<T> room;
    const auto block = static_cast<std::size_t>(detail::kRowChunk * widest_);
    if (room.size() < 2 * block) room.resize(2 * block);
    const Index rows = end - begin;
    const T* in = x_ + begin * steps_.front().inputs;
    T* const last = y + begin * width_;
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      T* out = i + 1 == steps_.size() ? last : room.data() + (i % 2) * block;
      apply(steps_[i], rows, in, out);
      in = out;
    }
    for (const auto& [term, scale] : terms_) {
      const T* add = term + begin * width_;
      if (scale != nullptr) {
        kernels().scale_shift(0, rows, width_, add, zero_.data(), scale, zero_.data(), room.data());
        add = room.data();
      }
      activate(rows, width_,
               {last, nullptr, add, 0, {0, T{1}, 0}, last, nullptr, nullptr, nullptr});
    }
  }

 private:
  static const detail::RowKernels<T>& kernels() { return detail::kernels<T>().row; }

  static void activate(Index rows, Index d, const detail::Activate<T>& a) {
    kernels().activate(0, rows, d, a);
  }

  static void apply(const Step<T>& s, Index rows, const T* in, T* out) {
    detail::product_nt<T>(rows, s.outputs, s.inputs, in, s.weight, s.transposed, out);
    const bool rectified = s.activation == RowActivation::kRelu;
    if (s.bias != nullptr || rectified) {
      kernels().bias_relu(0, rows, s.outputs, s.bias, rectified, out);
    }
    if (s.activation != RowActivation::kGelu) return;
    activate(rows, s.outputs,
             {out,
              nullptr,
              nullptr,
              static_cast<int>(s.activation),
              {0, T{1}, 0},
              out,
              nullptr,
              nullptr,
              nullptr});
  }

  at::Tensor hold(const at::Tensor& t) {
    held_.push_back(t.contiguous());
    return held_.back();
  }

  std::vector<at::Tensor> held_;
  std::vector<Step<T>> steps_;
  std::vector<std::pair<const T*, const T*>> terms_;  // rows, scale
  std::vector<T> zero_;
  const T* x_ = nullptr;
  Index width_ = 0, widest_ = 0;
};

template <class T>
at::Tensor in_blocks(const at::Tensor& x, const std::vector<DenseLayer>& layers,
                     const std::vector<RowTerm>& terms) {
  const Chain<T> chain(x, layers, terms);
  const Index n = x.size(0);
  Index work = 0;
  for (const DenseLayer& layer : layers) work += layer.weight.numel();
  at::Tensor y = at::empty({n, layers.back().weight.size(0)}, x.options());
  T* yp = y.mutable_data_ptr<T>();
  detail::parallel_tasks(detail::chunks(n), n * work < 262144, [&](Index t) {
    const Index begin = t * detail::kRowChunk;
    chain.run(begin, std::min(n, begin + detail::kRowChunk), yp);
  });
  return y;
}

}  // namespace

at::Tensor dense_chain(const at::Tensor& x, const std::vector<DenseLayer>& layers,
                       const std::vector<RowTerm>& terms) {
  check(x, layers, terms);
  if (x.is_cpu() && x.scalar_type() == at::kFloat) return in_blocks<float>(x, layers, terms);
  if (x.is_cpu() && x.scalar_type() == at::kDouble) return in_blocks<double>(x, layers, terms);
  return step_by_step(x, layers, terms);
}

}  // namespace gtrain::ops
