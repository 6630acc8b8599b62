// Softmax attention over the pairs of a pattern, row by row. The scores of up to a few hundred
// pairs lie flat in the first-level cache between the product that makes them and the one that uses
// them; longer rows rescale what they have so far.
#include <limits>

#include "ops/cpu/kernel.h"
#include "ops/cpu/sparse_row.h"
#include "ops/detail/random.h"

namespace gtrain::ops::GTRAIN_CPU {
namespace {

using detail::SparseAttention;
using detail::SparseCut;
using detail::SparseRange;

// Pairs whose scores are held at a time: both rows that each of them gathers fit the first-level
// cache together.
template <class S>
Index block_pairs(Index heads, Index width) {
  return std::clamp<Index>(32768 / (2 * heads * width * static_cast<Index>(sizeof(S))) / 16 * 16,
                           16, 256);
}

template <class S, Channels kChannels>
class Attention {
 public:
  using T = Compute<S>;
  using A = SparseAttention<S>;

  explicit Attention(const A& a)
      : a_(a),
        row_(a.heads, a.width),
        padded_(row_.padded()),
        length_(period<T>(a.heads)),
        block_(block_pairs<S>(a.heads, a.width)),
        flat_(block_ * a.heads + kWidth<T>),
        scratch_(4 * SparseScratch<T>::padded(padded_) + 6 * SparseScratch<T>::padded(length_) +
                 5 * SparseScratch<T>::padded(flat_)) {
    for (T** p : {&own_, &other_, &sum_, &sum2_}) *p = scratch_.take(padded_);
    for (T** p : {&top_, &total_, &block_top_, &scale_, &lse_, &delta_})
      *p = scratch_.take(length_);
    for (T** p : {&score_, &value_, &factor_, &lses_, &deltas_}) *p = scratch_.take(flat_);
  }

  static Index partial_size(Index heads, Index width) {
    const Index padded = Row<S, kChannels>(heads, width).padded();
    return std::max(2 * padded, padded + 2 * period<T>(heads));
  }

  void forward(const SparseRange& r) {
    if (r.part >= 0) {
      attend(r.first, r.begin, r.end);
      save_state(partial(r.part));
      return;
    }
    for (Index i = r.first; i < r.last; ++i) {
      attend(i, a_.row_start[i], a_.row_start[i + 1]);
      finish(i);
    }
  }

  void merge_forward(const SparseCut& cut) {
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

  void backward_rows(const SparseRange& r, T* dtype_bias) {
    if (r.part >= 0) {
      differentiate_row(r.first, r.begin, r.end, dtype_bias);
      std::copy_n(sum_, padded_, partial(r.part));
      return;
    }
    for (Index i = r.first; i < r.last; ++i) {
      differentiate_row(i, a_.row_start[i], a_.row_start[i + 1], dtype_bias);
      finish_scaled(sum_, a_.scale, a_.dq + i * size());
    }
  }
  void merge_rows(const SparseCut& cut) {
    add_parts(cut, 0, sum_);
    finish_scaled(sum_, a_.scale, a_.dq + cut.row * size());
  }

  void backward_columns(const SparseRange& r) {
    if (r.part >= 0) {
      differentiate_column(r.first, r.begin, r.end);
      std::copy_n(sum_, padded_, partial(r.part));
      std::copy_n(sum2_, padded_, partial(r.part) + padded_);
      return;
    }
    for (Index j = r.first; j < r.last; ++j) {
      differentiate_column(j, a_.column_start[j], a_.column_start[j + 1]);
      finish_column(j);
    }
  }
  void merge_columns(const SparseCut& cut) {
    add_parts(cut, 0, sum_);
    add_parts(cut, padded_, sum2_);
    finish_column(cut.row);
  }

 private:
  Index size() const { return a_.heads * a_.width; }
  T* partial(Index part) const { return a_.partial + part * partial_size(a_.heads, a_.width); }
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
      add_bias(p, pairs.count);
      soften(pairs.count, p == begin);
      if (a_.threshold != 0) {
        draw(pairs.count, [&](Index x) { return p + x; });
        for (Index x = 0; x < pairs.count * a_.heads; x += kWidth<T>) {
          store(score_ + x, load(score_ + x) * load(factor_ + x));
        }
      }
      row_.weigh(score_, v, pairs, sum_);
    }
  }

  // Scores to weights relative to the running maximum; the state so far is rescaled to it.
  void soften(Index count, bool first) {
    const Index n = count * a_.heads;
    store(score_ + n, splat<T>(-std::numeric_limits<T>::infinity()));
    reduce_heads(score_, n, a_.heads, -std::numeric_limits<T>::infinity(), block_top_,
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
    reduce_heads(score_, n, a_.heads, T{0}, block_top_, [](Vec<T> a, Vec<T> b) { return a + b; });
    for (Index y = 0; y < length_; y += kWidth<T>) {
      store(total_ + y, load(total_ + y) + load(block_top_ + y));
    }
  }

  void finish(Index i) {
    T* lse = a_.lse + i * a_.heads;
    for (Index y = 0; y < length_; y += kWidth<T>) {
      const Vec<T> total = load(total_ + y), none = Vec<T>{};
      store(scale_ + y, total > none ? splat<T>(1) / total : none);
      const Vec<T> empty = splat<T>(std::numeric_limits<T>::infinity());
      store(block_top_ + y, total > none ? load(top_ + y) + log<T>(total) : empty);
    }
    std::copy_n(block_top_, a_.heads, lse);
    row_.gather(sum_, scale_, a_.out + i * size());
  }

  void add_bias(Index p, Index count) {
    const Index n = count * a_.heads;
    if (a_.pair_bias != nullptr) {
      const S* bias = a_.pair_bias + p * a_.heads;
      for (Index x = 0; x < n; x += kWidth<T>) {
        store(score_ + x, load(score_ + x) + load(bias + x, n - x));
      }
    }
    if (a_.type_bias != nullptr) {
      for (Index x = 0; x < count; ++x) add_row(type_row(p + x), score_ + x * a_.heads);
    }
  }
  const T* type_row(Index pair) const {
    return a_.type_bias + (a_.type != nullptr ? a_.type[pair] : 0) * a_.heads;
  }
  template <class B>
  void add_row(const B* from, T* to) const {
    for (Index h = 0; h < a_.heads; ++h) to[h] += detail::widen(from[h]);
  }
  template <class Pair>
  void draw(Index count, const Pair& pair) {
    for (Index x = 0; x < count; ++x) {
      draw_factors(detail::row_key(a_.key, static_cast<std::uint64_t>(pair(x))), a_.threshold,
                   a_.keep_scale, a_.heads, factor_ + x * a_.heads);
    }
  }

  void finish_scaled(const T* sum, T scale, S* to) {
    std::fill_n(scale_, length_, scale);
    row_.gather(sum, scale_, to);
  }
  void finish_column(Index j) {
    finish_scaled(sum_, a_.scale, a_.dk + j * size());
    finish_scaled(sum2_, T{1}, a_.dv + j * size());
  }
  void add_parts(const SparseCut& cut, Index offset, T* sum) const {
    std::fill_n(sum, padded_, T{0});
    for (Index part = cut.first_part; part < cut.first_part + cut.parts; ++part) {
      const T* p = partial(part) + offset;
      for (Index x = 0; x < padded_; ++x) sum[x] += p[x];
    }
  }

  // dout · out of row i per head, and the row's entry in the statistics.
  void open_row(Index i, bool writes) {
    const auto row = static_cast<std::int32_t>(i);
    row_.template dots<0>(other_, {a_.out, size()}, {&row, 1, 1}, {}, score_);
    std::copy_n(score_, a_.heads, delta_);
    std::copy_n(a_.lse + i * a_.heads, a_.heads, lse_);
    repeat(delta_, a_.heads);
    repeat(lse_, a_.heads);
    if (!writes) return;
    T* statistic = a_.statistic + i * 2 * a_.heads;
    std::copy_n(lse_, a_.heads, statistic);
    std::copy_n(delta_, a_.heads, statistic + a_.heads);
  }

  // sum_ = the gradient of scale q_i over pairs [begin, end).
  void differentiate_row(Index i, Index begin, Index end, T* dtype_bias) {
    std::fill_n(sum_, padded_, T{0});
    row_.spread(a_.q + i * a_.q_stride, a_.scale, own_);
    row_.spread(a_.dout + i * size(), T{1}, other_);
    open_row(i, begin == a_.row_start[i]);
    const Table<S> k{a_.k, a_.k_stride}, v{a_.v, a_.v_stride};
    for (Index p = begin; p < end; p += block_) {
      const Gather pairs{a_.column + p, std::min(block_, end - p), a_.pairs - p};
      const Index n = pairs.count * a_.heads;
      row_.template dots<2>(own_, k, pairs, {k, v}, score_);
      add_bias(p, pairs.count);
      row_.template dots<0>(other_, v, pairs, {}, value_);
      if (a_.threshold != 0) {
        draw(pairs.count, [&](Index x) { return p + x; });
        for (Index x = 0; x < n; x += kWidth<T>) {
          store(value_ + x, load(value_ + x) * load(factor_ + x));
        }
      }
      for_each_vector<T>(n, length_, [&](Index x, Index y) {
        store(score_ + x,
              weight<T>(load(score_ + x) - load(lse_ + y)) * (load(value_ + x) - load(delta_ + y)));
      });
      write_bias_gradients(p, pairs.count, dtype_bias);
      row_.weigh(score_, k, pairs, sum_);
    }
  }

  void write_bias_gradients(Index p, Index count, T* dtype_bias) {
    const Index n = count * a_.heads;
    if (a_.dpair_bias != nullptr) {
      S* to = a_.dpair_bias + p * a_.heads;
      for (Index x = 0; x < n; x += kWidth<T>) store(to + x, load(score_ + x), n - x);
    }
    if (dtype_bias == nullptr) return;
    for (Index x = 0; x < count; ++x) {
      add_row(score_ + x * a_.heads,
              dtype_bias + (a_.type != nullptr ? a_.type[p + x] : 0) * a_.heads);
    }
  }

  // sum_, sum2_ = the gradients of scale k_j and v_j over transposed pairs [begin, end).
  void differentiate_column(Index j, Index begin, Index end) {
    std::fill_n(sum_, padded_, T{0});
    std::fill_n(sum2_, padded_, T{0});
    if (begin == end) return;
    row_.spread(a_.k + j * a_.k_stride, a_.scale, own_);
    row_.spread(a_.v + j * a_.v_stride, T{1}, other_);
    const Table<S> q{a_.q, a_.q_stride}, dout{a_.dout, size()};
    for (Index p = begin; p < end; p += block_) {
      const Gather pairs{a_.row + p, std::min(block_, end - p), a_.pairs - p};
      const Index n = pairs.count * a_.heads;
      const Index* number = a_.pair + p;
      for (Index x = 0; x < pairs.count; ++x) {
        if (x + kAhead < pairs.readable) {
          __builtin_prefetch(a_.statistic + pairs.index[x + kAhead] * 2 * a_.heads);
        }
      }
      for (Index x = 0; x < pairs.count; ++x) {
        const T* statistic = a_.statistic + pairs.index[x] * 2 * a_.heads;
        std::copy_n(statistic, a_.heads, lses_ + x * a_.heads);
        std::copy_n(statistic + a_.heads, a_.heads, deltas_ + x * a_.heads);
      }
      row_.template dots<2>(own_, q, pairs, {q, dout}, score_);
      for (Index x = 0; x < pairs.count; ++x) {
        if (a_.pair_bias != nullptr) {
          add_row(a_.pair_bias + number[x] * a_.heads, score_ + x * a_.heads);
        }
        if (a_.type_bias != nullptr) add_row(type_row(number[x]), score_ + x * a_.heads);
      }
      row_.template dots<0>(other_, dout, pairs, {}, value_);
      if (a_.threshold != 0) draw(pairs.count, [&](Index x) { return number[x]; });
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

  const A& a_;
  Row<S, kChannels> row_;
  Index padded_, length_, block_, flat_;
  SparseScratch<T> scratch_;
  T *own_, *other_, *sum_, *sum2_;
  T *top_, *total_, *block_top_, *scale_, *lse_, *delta_;
  T *score_, *value_, *factor_, *lses_, *deltas_;
};

// body(attention) with the channels' layout of `a`.
template <class S, class Body>
void with_channels(const SparseAttention<S>& a, const Body& body) {
  switch (channels_of<S>(a.heads, a.width)) {
    case Channels::kEightByFour:
    case Channels::kEight:
      if constexpr (std::is_same_v<Compute<S>, float>) {
        if (a.heads == 8) return body(Attention<S, Channels::kEightByFour>(a));
        return body(Attention<S, Channels::kEight>(a));
      }
      break;
    case Channels::kWhole:
      return body(Attention<S, Channels::kWhole>(a));
    case Channels::kAny:
      break;
  }
  body(Attention<S, Channels::kAny>(a));
}

template <class S>
std::int64_t partial_size(Index heads, Index width) {
  return Attention<S, Channels::kAny>::partial_size(heads, width);
}
template <class S>
void forward(const SparseAttention<S>& a, const SparseRange& r) {
  with_channels(a, [&](auto attention) { attention.forward(r); });
}
template <class S>
void merge_forward(const SparseAttention<S>& a, const SparseCut& cut) {
  with_channels(a, [&](auto attention) { attention.merge_forward(cut); });
}
template <class S>
void backward_rows(const SparseAttention<S>& a, const SparseRange& r, Compute<S>* dtype_bias) {
  with_channels(a, [&](auto attention) { attention.backward_rows(r, dtype_bias); });
}
template <class S>
void merge_rows(const SparseAttention<S>& a, const SparseCut& cut) {
  with_channels(a, [&](auto attention) { attention.merge_rows(cut); });
}
template <class S>
void backward_columns(const SparseAttention<S>& a, const SparseRange& r) {
  with_channels(a, [&](auto attention) { attention.backward_columns(r); });
}
template <class S>
void merge_columns(const SparseAttention<S>& a, const SparseCut& cut) {
  with_channels(a, [&](auto attention) { attention.merge_columns(cut); });
}

}  // namespace

template <class S>
void add_sparse_kernels(detail::Kernels<S>& table) {
  table.sparse = {partial_size<S>, forward<S>,          merge_forward<S>, backward_rows<S>,
                  merge_rows<S>,   backward_columns<S>, merge_columns<S>};
}
template void add_sparse_kernels<float>(detail::Kernels<float>&);
template void add_sparse_kernels<double>(detail::Kernels<double>&);
template void add_sparse_kernels<detail::Bf16>(detail::Kernels<detail::Bf16>&);
template void add_sparse_kernels<detail::Half>(detail::Kernels<detail::Half>&);

}  // namespace gtrain::ops::GTRAIN_CPU
