// Linear attention of one graph that is too large for one task: rows in chunks of kFavorChunk,
// states [m, d+1] summed over the chunks in order. Every sum has a fixed order, so bits do not
// depend on the thread count.
#pragma once

#include <vector>

#include "ops/detail/favor.h"
#include "ops/detail/parallel.h"

namespace gtrain::ops::detail {

constexpr std::int64_t kFavorChunk = 2048;

template <class S>
class LargeFavor {
 public:
  using T = Compute<S>;
  using Index = std::int64_t;

  // heads: all heads of one graph.
  LargeFavor(const Favor<S>& favor, std::vector<FavorHead<S>> heads)
      : favor_(favor),
        heads_(std::move(heads)),
        chunks_((heads_[0].n + kFavorChunk - 1) / kFavorChunk),
        size_(favor.state_size()),
        states_(static_cast<std::size_t>(tasks() * size_)) {}

  void forward() {
    std::vector<T> maxima(static_cast<std::size_t>(tasks()));
    for_chunks([&](Index task, FavorHead<S> a) {
      a.maximum = maxima.data() + task;
      favor_.shifted_state(a, state(task));
    });
    for_heads([&](Index h, const FavorHead<S>& a) {
      const T* local = maxima.data() + h * chunks_;
      *a.maximum = local[0];
      for (Index c = 1; c < chunks_; ++c) {
        *a.maximum = local[c] <= *a.maximum ? *a.maximum : local[c];
      }
      if (a.padding > 0 && *a.maximum < 0) *a.maximum = 0;
      T* sum = state(h * chunks_);
      for (Index c = 0; c < chunks_; ++c) {
        const T factor = std::exp(local[c] - *a.maximum);
        favor_.rescale(state(h * chunks_ + c), factor);
        if (c > 0) add(sum, state(h * chunks_ + c));
      }
      favor_.add_padding(a, sum);
    });
    for_chunks([&](Index task, const FavorHead<S>& a) { favor_.answer(a, state_of(task)); });
  }

  void backward() {
    for_chunks([&](Index task, const FavorHead<S>& a) { favor_.state(a, state(task)); });
    for_heads([&](Index h, const FavorHead<S>& a) {
      for (Index c = 1; c < chunks_; ++c) add(state(h * chunks_), state(h * chunks_ + c));
      favor_.add_padding(a, state(h * chunks_));
    });
    std::vector<T> gradients(states_.size());
    const auto gradient = [&](Index task) { return gradients.data() + task * size_; };
    for_chunks([&](Index task, const FavorHead<S>& a) {
      favor_.query_gradient(a, state_of(task), gradient(task));
    });
    for_heads([&](Index h, const FavorHead<S>&) {
      for (Index c = 1; c < chunks_; ++c) add(gradient(h * chunks_), gradient(h * chunks_ + c));
    });
    for_chunks([&](Index task, const FavorHead<S>& a) {
      favor_.key_gradient(a, gradient(task / chunks_ * chunks_));
    });
  }

 private:
  Index tasks() const { return static_cast<Index>(heads_.size()) * chunks_; }
  T* state(Index task) { return states_.data() + task * size_; }
  T* state_of(Index task) { return state(task / chunks_ * chunks_); }
  void add(T* sum, const T* part) const {
    for (Index i = 0; i < size_; ++i) sum[i] += part[i];
  }

  template <class Body>
  void for_heads(const Body& body) const {
    parallel_tasks(static_cast<Index>(heads_.size()), false,
                   [&](Index h) { body(h, heads_[static_cast<std::size_t>(h)]); });
  }
  // body(task, head with the rows of the chunk and no padding)
  template <class Body>
  void for_chunks(const Body& body) const {
    parallel_tasks(tasks(), false, [&](Index task) {
      const FavorHead<S>& whole = heads_[static_cast<std::size_t>(task / chunks_)];
      const Index first = task % chunks_ * kFavorChunk;
      body(task, whole.rows(first, std::min(whole.n, first + kFavorChunk)));
    });
  }

  const Favor<S>& favor_;
  std::vector<FavorHead<S>> heads_;
  Index chunks_, size_;
  std::vector<T> states_;
};

}  // namespace gtrain::ops::detail
