// How both backwards over pairs walk: row after row and column after column, a piece of a long one
// into its partial result, the pieces merged in order. What a row or a column adds to the sums is
// the caller's.
#pragma once

#include "ops/cpu/sparse_pass.h"

namespace gtrain::ops::GTRAIN_CPU {

// Arguments: SparseAttention<S> or EdgeAttention<S>.
template <class S, Channels kChannels, class Arguments>
class SparseGradient : protected SparsePass<S, kChannels> {
  using Pass = SparsePass<S, kChannels>;

 public:
  using T = Compute<S>;

  void merge_rows(const detail::SparseCut& cut) {
    this->add_parts(cut, 0, sum_);
    this->finish_scaled(sum_, a_.scale, a_.dq + cut.row * size_);
  }
  void merge_columns(const detail::SparseCut& cut) {
    this->add_parts(cut, 0, sum_);
    this->add_parts(cut, padded_, sum2_);
    finish_column(cut.row);
  }

 protected:
  using Pass::padded_, Pass::row_, Pass::size_;

  SparseGradient(const Arguments& a, typename Pass::Counts counts)
      : Pass(a.heads, a.width, a.partial, counts), a_(a) {
    for (T** p : {&sum_, &sum2_}) *p = this->take_row();
  }

  // differentiate(i, begin, end) leaves dq_i / scale of those pairs in sum_.
  template <class Differentiate>
  void walk_rows(const detail::SparseRange& r, const Differentiate& differentiate) {
    if (r.part >= 0) {
      differentiate(r.first, r.begin, r.end);
      std::copy_n(sum_, padded_, this->partial(r.part));
      return;
    }
    for (Index i = r.first; i < r.last; ++i) {
      if (const Index next = i + kRowsAhead; next < r.last) {
        row_.prefetch(a_.q + next * a_.q_stride);
        row_.prefetch(a_.dout + next * size_);
        row_.prefetch(a_.out + next * size_);
      }
      differentiate(i, a_.row_start[i], a_.row_start[i + 1]);
      this->finish_scaled(sum_, a_.scale, a_.dq + i * size_);
    }
  }
  // differentiate(j, begin, end) leaves dk_j / scale in sum_ and dv_j in sum2_.
  template <class Differentiate>
  void walk_columns(const detail::SparseRange& r, const Differentiate& differentiate) {
    if (r.part >= 0) {
      differentiate(r.first, r.begin, r.end);
      std::copy_n(sum_, padded_, this->partial(r.part));
      std::copy_n(sum2_, padded_, this->partial(r.part) + padded_);
      return;
    }
    for (Index j = r.first; j < r.last; ++j) {
      if (const Index next = j + kRowsAhead; next < r.last) {
        row_.prefetch(a_.k + next * a_.k_stride);
        row_.prefetch(a_.v + next * a_.v_stride);
      }
      differentiate(j, a_.column_start[j], a_.column_start[j + 1]);
      finish_column(j);
    }
  }

  const Arguments& a_;
  T *sum_, *sum2_;

 private:
  void finish_column(Index j) {
    this->finish_scaled(sum_, a_.scale, a_.dk + j * size_);
    this->finish_scaled(sum2_, T{1}, a_.dv + j * size_);
  }
};

}  // namespace gtrain::ops::GTRAIN_CPU
