// Forward of softmax attention over the pairs of a pattern, row by row. The scores of up to a few
// hundred pairs lie flat in the first-level cache between the product that makes them and the one
// that uses them; longer rows rescale what they have so far.
#include <limits>

#include "ops/cpu/kernel.h"
#include "ops/cpu/sparse_bias.h"
#include "ops/cpu/sparse_pass.h"

namespace gtrain::ops::GTRAIN_CPU {
namespace {

using detail::SparseAttention;
using detail::SparseCut;
using detail::SparseRange;

template <class S, Channels kChannels>
class Forward : SparsePass<S, kChannels> {
  using Pass = SparsePass<S, kChannels>;
  using Pass::block_, Pass::heads_, Pass::length_, Pass::padded_, Pass::row_, Pass::size_;
  using Pass::partial;

 public:
  using T = Compute<S>;

  explicit Forward(const SparseAttention<S>& a)
      : Pass(a.heads, a.width, a.partial, {2, 4, 2}), a_(a), bias_(a) {
    for (T** p : {&own_, &sum_}) *p = this->take_row();
    for (T** p : {&top_, &total_, &block_top_, &scale_}) *p = this->take_statistic();
    for (T** p : {&score_, &factor_}) *p = this->take_scores();
  }

  void forward(const SparseRange& r) {
    if (r.part >= 0) {
      attend(r.first, r.begin, r.end);
      save_state(partial(r.part));
      return;
    }
    for (Index i = r.first; i < r.last; ++i) {
      if (i + kRowsAhead < r.last) row_.prefetch(a_.q + (i + kRowsAhead) * a_.q_stride);
      attend(i, a_.row_start[i], a_.row_start[i + 1]);
      finish(i);
    }
  }

  void merge(const SparseCut& cut) {
    start_state();
    for (Index part = cut.first_part; part < cut.first_part + cut.parts; ++part) {
      const T* p = partial(part);
      const T *top = p + padded_, *total = top + length_;
      for (Index y = 0; y < length_; y += kWidth<T>) {
        const Vec<T> before = load(top_ + y), here = load(top + y);
        const Vec<T> now = here > before ? here : before;
        const Vec<T> kept = weight<T>(before - finite(now)), added = weight<T>(here - finite(now));
        store(total_ + y, load(total_ + y) * kept + load(total + y) * added);
        store(top_ + y, now);
        store(scale_ + y, kept);
        store(block_top_ + y, added);
      }
      row_.rescale(scale_, sum_);
      std::copy_n(p, padded_, own_);
      row_.rescale(block_top_, own_);
      for (Index x = 0; x < padded_; ++x) sum_[x] += own_[x];
    }
    finish(cut.row);
  }

 private:
  static Vec<T> finite(Vec<T> top) {
    return top == splat<T>(-std::numeric_limits<T>::infinity()) ? Vec<T>{} : top;
  }

  void start_state() {
    std::fill_n(top_, length_, -std::numeric_limits<T>::infinity());
    std::fill_n(total_, length_, T{0});
    std::fill_n(sum_, padded_, T{0});
  }
  void save_state(T* to) const {
    std::copy_n(sum_, padded_, to);
    std::copy_n(top_, length_, to + padded_);
    std::copy_n(total_, length_, to + padded_ + length_);
  }

  // Running maximum, sum of exponentials and weighted sum of v over pairs [begin, end) of row i.
  void attend(Index i, Index begin, Index end) {
    start_state();
    if (begin == end) return;
    row_.spread(a_.q + i * a_.q_stride, a_.scale, own_);
    const Table<S> k{a_.k, a_.k_stride}, v{a_.v, a_.v_stride};
    for (Index p = begin; p < end; p += block_) {
      const Gather pairs{a_.column + p, std::min(block_, end - p), a_.pairs - p};
      row_.template dots<2>(own_, k, pairs, {k, v}, score_);
      bias_.add(p, pairs.count, score_);
      soften(pairs.count, p == begin);
      if (a_.threshold != 0) {
        bias_.draw(
            pairs.count, [&](Index x) { return p + x; }, factor_);
        for (Index x = 0; x < pairs.count * heads_; x += kWidth<T>) {
          store(score_ + x, load(score_ + x) * load(factor_ + x));
        }
      }
      row_.weigh(score_, v, pairs, sum_);
    }
  }

  // Scores to weights relative to the running maximum; the state so far is rescaled to it.
  void soften(Index count, bool first) {
    const Index n = count * heads_;
    store(score_ + n, splat<T>(-std::numeric_limits<T>::infinity()));
    reduce_heads(score_, n, heads_, -std::numeric_limits<T>::infinity(), block_top_,
                 [](Vec<T> a, Vec<T> b) { return b > a ? b : a; });
    for (Index y = 0; y < length_; y += kWidth<T>) {
      const Vec<T> before = load(top_ + y), here = load(block_top_ + y);
      const Vec<T> now = here > before ? here : before;
      if (!first) {
        const Vec<T> kept = weight<T>(before - finite(now));
        store(scale_ + y, kept);
        store(total_ + y, load(total_ + y) * kept);
      }
      store(top_ + y, now);
    }
    if (!first) row_.rescale(scale_, sum_);
    for_each_vector<T>(n, length_, [&](Index x, Index y) {
      store(score_ + x, weight<T>(load(score_ + x) - finite(load(top_ + y))));
    });
    reduce_heads(score_, n, heads_, T{0}, block_top_, [](Vec<T> a, Vec<T> b) { return a + b; });
    for (Index y = 0; y < length_; y += kWidth<T>) {
      store(total_ + y, load(total_ + y) + load(block_top_ + y));
    }
  }

  void finish(Index i) {
    T* lse = a_.lse + i * heads_;
    for (Index y = 0; y < length_; y += kWidth<T>) {
      const Vec<T> total = load(total_ + y), none = Vec<T>{};
      store(scale_ + y, total > none ? splat<T>(1) / total : none);
      const Vec<T> empty = splat<T>(std::numeric_limits<T>::infinity());
      store(block_top_ + y, total > none ? load(top_ + y) + log<T>(total) : empty);
    }
    std::copy_n(block_top_, heads_, lse);
    row_.gather(sum_, scale_, a_.out + i * size_);
  }

  const SparseAttention<S>& a_;
  SparseBias<S> bias_;
  T *own_, *sum_;
  T *top_, *total_, *block_top_, *scale_;
  T *score_, *factor_;
};

template <class S>
void forward(const SparseAttention<S>& a, const SparseRange& r) {
  with_channels<S>(a.heads, a.width, [&](auto channels) { Forward<S, channels>(a).forward(r); });
}
template <class S>
void merge(const SparseAttention<S>& a, const SparseCut& cut) {
  with_channels<S>(a.heads, a.width, [&](auto channels) { Forward<S, channels>(a).merge(cut); });
}

}  // namespace

template <class S>
void add_sparse_forward(detail::SparseKernels<S>& table) {
  table.partial_size = SparsePass<S, Channels::kAny>::partial_size;
  table.forward = forward<S>;
  table.merge_forward = merge<S>;
}

template <class S>
void add_sparse_kernels(detail::Kernels<S>& table) {
  add_sparse_forward(table.sparse);
  add_sparse_backward(table.sparse);
  add_edge_kernels(table.sparse.edge);
}
template void add_sparse_kernels<float>(detail::Kernels<float>&);
template void add_sparse_kernels<double>(detail::Kernels<double>&);
template void add_sparse_kernels<detail::Bf16>(detail::Kernels<detail::Bf16>&);
template void add_sparse_kernels<detail::Half>(detail::Kernels<detail::Half>&);

}  // namespace gtrain::ops::GTRAIN_CPU
