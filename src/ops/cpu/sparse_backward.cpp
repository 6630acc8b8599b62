// Backward of softmax attention over the pairs of a pattern: a pass over rows writes what belongs
// to rows, one over the transpose what belongs to columns. Both compute the weights again from the
// rows' log-sum-exp, so nothing is stored per pair.
#include "ops/cpu/sparse_bias.h"
#include "ops/cpu/sparse_gradient.h"

namespace gtrain::ops::GTRAIN_CPU {
namespace {

using detail::SparseAttention;
using detail::SparseCut;
using detail::SparseRange;

template <class S, Channels kChannels>
class Backward : public SparseGradient<S, kChannels, SparseAttention<S>> {
  using Walk = SparseGradient<S, kChannels, SparseAttention<S>>;
  using Walk::a_, Walk::block_, Walk::heads_, Walk::length_, Walk::padded_, Walk::row_, Walk::size_,
      Walk::sum_, Walk::sum2_;

 public:
  using T = Compute<S>;

  explicit Backward(const SparseAttention<S>& a) : Walk(a, {4, 2, 5}), bias_(a) {
    for (T** p : {&own_, &other_}) *p = this->take_row();
    for (T** p : {&lse_, &delta_}) *p = this->take_statistic();
    for (T** p : {&score_, &value_, &factor_, &lses_, &deltas_}) *p = this->take_scores();
  }

  void rows(const SparseRange& r, T* dtype_bias) {
    this->walk_rows(
        r, [&](Index i, Index begin, Index end) { differentiate_row(i, begin, end, dtype_bias); });
  }
  void columns(const SparseRange& r) {
    this->walk_columns(
        r, [&](Index j, Index begin, Index end) { differentiate_column(j, begin, end); });
  }

 private:
  // dout · out of row i per head, and the row's entry in the statistics.
  void open_row(Index i, bool writes) {
    const auto row = static_cast<std::int32_t>(i);
    row_.template dots<0>(other_, {a_.out, size_}, {&row, 1, 1}, {}, score_);
    std::copy_n(score_, heads_, delta_);
    std::copy_n(a_.lse + i * heads_, heads_, lse_);
    repeat(delta_, heads_);
    repeat(lse_, heads_);
    if (!writes) return;
    T* statistic = a_.statistic + i * 2 * heads_;
    std::copy_n(lse_, heads_, statistic);
    std::copy_n(delta_, heads_, statistic + heads_);
  }

  // sum_ = the gradient of scale q_i over pairs [begin, end).
  void differentiate_row(Index i, Index begin, Index end, T* dtype_bias) {
    std::fill_n(sum_, padded_, T{0});
    row_.spread(a_.q + i * a_.q_stride, a_.scale, own_);
    row_.spread(a_.dout + i * size_, T{1}, other_);
    open_row(i, begin == a_.row_start[i]);
    const Table<S> k{a_.k, a_.k_stride}, v{a_.v, a_.v_stride};
    for (Index p = begin; p < end; p += block_) {
      const Gather pairs{a_.column + p, std::min(block_, end - p), a_.pairs - p};
      const Index n = pairs.count * heads_;
      row_.template dots<2>(own_, k, pairs, {k, v}, score_);
      bias_.add(p, pairs.count, score_);
      row_.template dots<0>(other_, v, pairs, {}, value_);
      if (a_.threshold != 0) {
        bias_.draw(
            pairs.count, [&](Index x) { return p + x; }, factor_);
        for (Index x = 0; x < n; x += kWidth<T>) {
          store(value_ + x, load(value_ + x) * load(factor_ + x));
        }
      }
      for_each_vector<T>(n, length_, [&](Index x, Index y) {
        store(score_ + x,
              weight<T>(load(score_ + x) - load(lse_ + y)) * (load(value_ + x) - load(delta_ + y)));
      });
      bias_.differentiate(p, pairs.count, score_, dtype_bias);
      row_.weigh(score_, k, pairs, sum_);
    }
  }

  // sum_, sum2_ = the gradients of scale k_j and v_j over transposed pairs [begin, end).
  void differentiate_column(Index j, Index begin, Index end) {
    std::fill_n(sum_, padded_, T{0});
    std::fill_n(sum2_, padded_, T{0});
    if (begin == end) return;
    row_.spread(a_.k + j * a_.k_stride, a_.scale, own_);
    row_.spread(a_.v + j * a_.v_stride, T{1}, other_);
    const Table<S> q{a_.q, a_.q_stride}, dout{a_.dout, size_};
    for (Index p = begin; p < end; p += block_) {
      const Gather pairs{a_.row + p, std::min(block_, end - p), a_.pairs - p};
      const Index n = pairs.count * heads_;
      const Index* number = a_.pair + p;
      for (Index x = 0; x < pairs.count; ++x) {
        if (x + kAhead < pairs.readable) {
          __builtin_prefetch(a_.statistic + pairs.index[x + kAhead] * 2 * heads_);
        }
      }
      for (Index x = 0; x < pairs.count; ++x) {
        const T* statistic = a_.statistic + pairs.index[x] * 2 * heads_;
        std::copy_n(statistic, heads_, lses_ + x * heads_);
        std::copy_n(statistic + heads_, heads_, deltas_ + x * heads_);
      }
      row_.template dots<2>(own_, q, pairs, {q, dout}, score_);
      bias_.add(number, pairs.count, score_);
      row_.template dots<0>(other_, dout, pairs, {}, value_);
      if (a_.threshold != 0)
        bias_.draw(
            pairs.count, [&](Index x) { return number[x]; }, factor_);
      for (Index x = 0; x < n; x += kWidth<T>) {
        const Vec<T> p_here = weight<T>(load(score_ + x) - load(lses_ + x));
        const Vec<T> keep = a_.threshold != 0 ? load(factor_ + x) : splat<T>(1);
        store(score_ + x, p_here * (load(value_ + x) * keep - load(deltas_ + x)));
        store(value_ + x, p_here * keep);
      }
      row_.weigh(score_, q, pairs, sum_);
      row_.weigh(value_, dout, pairs, sum2_);
    }
  }

  SparseBias<S> bias_;
  T *own_, *other_;
  T *lse_, *delta_;
  T *score_, *value_, *factor_, *lses_, *deltas_;
};

template <class S>
void rows(const SparseAttention<S>& a, const SparseRange& r, Compute<S>* dtype_bias) {
  with_channels<S>(a.heads, a.width,
                   [&](auto channels) { Backward<S, channels>(a).rows(r, dtype_bias); });
}
template <class S>
void merge_rows(const SparseAttention<S>& a, const SparseCut& cut) {
  with_channels<S>(a.heads, a.width,
                   [&](auto channels) { Backward<S, channels>(a).merge_rows(cut); });
}
template <class S>
void columns(const SparseAttention<S>& a, const SparseRange& r) {
  with_channels<S>(a.heads, a.width, [&](auto channels) { Backward<S, channels>(a).columns(r); });
}
template <class S>
void merge_columns(const SparseAttention<S>& a, const SparseCut& cut) {
  with_channels<S>(a.heads, a.width,
                   [&](auto channels) { Backward<S, channels>(a).merge_columns(cut); });
}

}  // namespace

template <class S>
void add_sparse_backward(detail::SparseKernels<S>& table) {
  table.backward_rows = rows<S>;
  table.merge_rows = merge_rows<S>;
  table.backward_columns = columns<S>;
  table.merge_columns = merge_columns<S>;
}
template void add_sparse_backward<float>(detail::SparseKernels<float>&);
template void add_sparse_backward<double>(detail::SparseKernels<double>&);
template void add_sparse_backward<detail::Bf16>(detail::SparseKernels<detail::Bf16>&);
template void add_sparse_backward<detail::Half>(detail::SparseKernels<detail::Half>&);

}  // namespace gtrain::ops::GTRAIN_CPU
