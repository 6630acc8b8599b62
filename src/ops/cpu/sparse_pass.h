// What the passes of attention over pairs share: scratch for rows, statistics and scores, partial
// results of long rows, and the choice of the channels' layout.
#pragma once

#include <type_traits>

#include "ops/cpu/sparse_row.h"
#include "ops/cpu/sparse_statistic.h"

namespace gtrain::ops::GTRAIN_CPU {

// Pairs whose scores are held at a time: both rows that each of them gathers fit the first-level
// cache together.
template <class S>
inline Index block_pairs(Index heads, Index width) {
  const Index bytes = 2 * heads * width * static_cast<Index>(sizeof(S));
  return std::clamp<Index>(32768 / bytes / 16 * 16, 16, 256);
}

template <class S, Channels kChannels>
class SparsePass {
 public:
  using T = Compute<S>;

  // Numbers in one partial result, whatever the channels' layout.
  static Index partial_size(Index heads, Index width) {
    const Index padded = Row<S, Channels::kAny>(heads, width).padded();
    return std::max(2 * padded, padded + 2 * period<T>(heads));
  }

 protected:
  struct Counts {
    Index rows, statistics, scores;
  };
  SparsePass(Index heads, Index width, T* partial, Counts counts)
      : row_(heads, width),
        heads_(heads),
        size_(heads * width),
        padded_(row_.padded()),
        length_(period<T>(heads)),
        block_(block_pairs<S>(heads, width)),
        partial_(partial),
        partial_size_(partial_size(heads, width)),
        scratch_(counts.rows * SparseScratch<T>::padded(padded_) +
                 (counts.statistics + 1) * SparseScratch<T>::padded(length_) +
                 counts.scores * SparseScratch<T>::padded(score_size())) {
    factor_ = scratch_.take(length_);
  }

  T* take_row() { return scratch_.take(padded_); }
  T* take_statistic() { return scratch_.take(length_); }
  T* take_scores() { return scratch_.take(score_size()); }
  T* partial(Index part) const { return partial_ + part * partial_size_; }

  // to = scale · sum.
  void finish_scaled(const T* sum, T scale, S* to) const {
    std::fill_n(factor_, length_, scale);
    row_.gather(sum, factor_, to);
  }
  // sum = all partial results of a row from `offset` on, in order.
  void add_parts(const detail::SparseCut& cut, Index offset, T* sum) const {
    std::fill_n(sum, padded_, T{0});
    for (Index part = cut.first_part; part < cut.first_part + cut.parts; ++part) {
      const T* p = partial(part) + offset;
      for (Index x = 0; x < padded_; ++x) sum[x] += p[x];
    }
  }

  Row<S, kChannels> row_;
  Index heads_, size_, padded_, length_, block_;

 private:
  Index score_size() const { return block_ * heads_ + kWidth<T>; }

  T* partial_;
  Index partial_size_;
  SparseScratch<T> scratch_;
  T* factor_;
};

// body(layout) with the layout of the channels as a constant.
template <class S, class Body>
inline void with_channels(Index heads, Index width, const Body& body) {
  const Channels channels = channels_of<S>(heads, width);
  if constexpr (std::is_same_v<Compute<S>, float>) {
    if (channels == Channels::kEightByFour) {
      return body(std::integral_constant<Channels, Channels::kEightByFour>());
    }
    if (channels == Channels::kEight) {
      return body(std::integral_constant<Channels, Channels::kEight>());
    }
  }
  if (channels == Channels::kWhole) {
    return body(std::integral_constant<Channels, Channels::kWhole>());
  }
  body(std::integral_constant<Channels, Channels::kAny>());
}

template <class S>
void add_sparse_forward(detail::SparseKernels<S>& table);
template <class S>
void add_sparse_backward(detail::SparseKernels<S>& table);
template <class S>
void add_edge_kernels(detail::EdgeKernels<S>& table);

}  // namespace gtrain::ops::GTRAIN_CPU
