// Attention with edge features multiplied in, channel by channel. The products of a block of pairs
// are made once, in the first-level cache, with vectors laid out as Row has them; their sums per
// head are the scores. Weights are clamped exponentials, so no maximum is needed and the parts of a
// long row only add up.
#include "ops/cpu/sparse_gradient.h"

namespace gtrain::ops::GTRAIN_CPU {
namespace {

using detail::EdgeAttention;
using detail::SparseCut;
using detail::SparseRange;

template <class S, Channels kChannels>
class Edges : public SparseGradient<S, kChannels, EdgeAttention<S>> {
  using Walk = SparseGradient<S, kChannels, EdgeAttention<S>>;
  using Walk::a_, Walk::block_, Walk::heads_, Walk::length_, Walk::padded_, Walk::partial,
      Walk::row_, Walk::size_, Walk::sum_, Walk::sum2_;

 public:
  using T = Compute<S>;

  explicit Edges(const EdgeAttention<S>& a)
      : Walk(a, {5 + block_pairs<S>(a.heads, a.width), 3, 4}) {
    for (T** p : {&own_, &other_, &part_}) *p = this->take_row();
    for (T** p : {&total_, &inverse_, &delta_}) *p = this->take_statistic();
    for (T** p : {&score_, &value_, &inverses_, &deltas_}) *p = this->take_scores();
    products_ = this->take_row();  // block_ rows
  }

  void forward(const SparseRange& r) {
    if (r.part >= 0) {
      attend(r.first, r.begin, r.end);
      std::copy_n(sum_, padded_, partial(r.part));
      std::copy_n(total_, length_, partial(r.part) + padded_);
      return;
    }
    for (Index i = r.first; i < r.last; ++i) {
      attend(i, a_.row_start[i], a_.row_start[i + 1]);
      finish(i);
    }
  }
  void merge_forward(const SparseCut& cut) {
    this->add_parts(cut, 0, sum_);
    std::fill_n(total_, length_, T{0});
    for (Index part = cut.first_part; part < cut.first_part + cut.parts; ++part) {
      const T* p = partial(part) + padded_;
      for (Index y = 0; y < length_; ++y) total_[y] += p[y];
    }
    finish(cut.row);
  }

  void rows(const SparseRange& r) {
    this->walk_rows(r, [&](Index i, Index begin, Index end) { differentiate_row(i, begin, end); });
  }
  void columns(const SparseRange& r) {
    this->walk_columns(
        r, [&](Index j, Index begin, Index end) { differentiate_column(j, begin, end); });
  }

 private:
  const S* edge(Index pair) const { return a_.edge != nullptr ? a_.edge + pair * size_ : nullptr; }
  const S* dw(Index pair) const { return a_.dw != nullptr ? a_.dw + pair * size_ : nullptr; }
  Vec<T> clamped(Vec<T> score) const {
    const Vec<T> top = splat<T>(a_.clamp);
    score = score > top ? top : score;
    return score < -top ? -top : score;
  }

  // products_[x] = own ⊙ other ⊙ edge of pair number(x), and their sums per head.
  template <class Number>
  void multiply(const Table<S>& table, const Table<S>& next, const Gather& pairs,
                const Number& number) {
    for (Index x = 0; x < pairs.count; ++x) {
      row_.prefetch(std::array<Table<S>, 2>{table, next}, pairs, x);
      if (a_.edge != nullptr && x + kAhead < pairs.readable) {
        row_.prefetch(edge(number(x + kAhead)));
      }
      row_.multiply(own_, table.row(pairs.index[x]), edge(number(x)), products_ + x * padded_);
    }
    row_.head_sums(products_, pairs.count, score_);
  }

  void attend(Index i, Index begin, Index end) {
    std::fill_n(sum_, padded_, T{0});
    std::fill_n(total_, length_, T{0});
    row_.spread(a_.q + i * a_.q_stride, a_.scale, own_);
    const Table<S> k{a_.k, a_.k_stride}, v{a_.v, a_.v_stride};
    for (Index p = begin; p < end; p += block_) {
      const Gather pairs{a_.column + p, std::min(block_, end - p), a_.pairs - p};
      const Index n = pairs.count * heads_;
      multiply(k, v, pairs, [&](Index x) { return p + x; });
      if (a_.w != nullptr) {
        for (Index x = 0; x < pairs.count; ++x) {
          row_.write(products_ + x * padded_, a_.w + (p + x) * size_);
        }
      }
      for (Index x = 0; x < n; x += kWidth<T>) {
        store(score_ + x, exp<T>(clamped(load(score_ + x))));
      }
      store(score_ + n, Vec<T>{});
      reduce_heads(score_, n, heads_, T{0}, inverse_, [](Vec<T> a, Vec<T> b) { return a + b; });
      for (Index y = 0; y < length_; ++y) total_[y] += inverse_[y];
      row_.weigh(score_, v, pairs, sum_);
    }
  }

  void finish(Index i) {
    for (Index y = 0; y < length_; ++y) {
      inverse_[y] = total_[y] > 0 ? 1 / (total_[y] + a_.epsilon) : T{0};
    }
    std::copy_n(inverse_, heads_, a_.inverse + i * heads_);
    row_.gather(sum_, inverse_, a_.out + i * size_);
  }

  void open_row(Index i, bool writes) {
    const auto row = static_cast<std::int32_t>(i);
    row_.template dots<0>(other_, {a_.out, size_}, {&row, 1, 1}, {}, score_);
    std::copy_n(score_, heads_, delta_);
    std::copy_n(a_.inverse + i * heads_, heads_, inverse_);
    repeat(delta_, heads_);
    repeat(inverse_, heads_);
    if (!writes) return;
    std::copy_n(inverse_, heads_, a_.statistic + i * 2 * heads_);
    std::copy_n(delta_, heads_, a_.statistic + i * 2 * heads_ + heads_);
  }
  // The gradient of a score: none where the clamp holds it.
  Vec<T> dscore(Vec<T> score, Vec<T> share, Vec<T> dvalue) const {
    const Vec<T> top = splat<T>(a_.clamp), d = share * dvalue;
    return (score > top) | (score < -top) ? Vec<T>{} : d;
  }

  // Where a block adds up: its own sum, so that those of long rows stay exact; the first block's is
  // the row's.
  T* open_part(bool first) {
    if (first) return sum_;
    std::fill_n(part_, padded_, T{0});
    return part_;
  }
  void close_part(const T* part) {
    if (part == sum_) return;
    for (Index x = 0; x < padded_; ++x) sum_[x] += part[x];
  }

  // sum_ = the gradient of scale q_i over pairs [begin, end); writes theirs of edge.
  void differentiate_row(Index i, Index begin, Index end) {
    std::fill_n(sum_, padded_, T{0});
    row_.spread(a_.q + i * a_.q_stride, a_.scale, own_);
    row_.spread(a_.dout + i * size_, T{1}, other_);
    open_row(i, begin == a_.row_start[i]);
    const Table<S> k{a_.k, a_.k_stride}, v{a_.v, a_.v_stride};
    for (Index p = begin; p < end; p += block_) {
      const Gather pairs{a_.column + p, std::min(block_, end - p), a_.pairs - p};
      multiply(k, v, pairs, [&](Index x) { return p + x; });
      row_.template dots<0>(other_, v, pairs, {}, value_);
      for_each_vector<T>(pairs.count * heads_, length_, [&](Index x, Index y) {
        const Vec<T> score = load(score_ + x);
        const Vec<T> share = exp<T>(clamped(score)) * load(inverse_ + y);
        store(score_ + x, dscore(score, share, load(value_ + x) - load(delta_ + y)));
      });
      T* part = open_part(p == begin);
      for (Index x = 0; x < pairs.count; ++x) {
        const S* other = k.row(pairs.index[x]);
        row_.differentiate(score_ + x * heads_, dw(p + x), other, edge(p + x), part);
        if (a_.dedge != nullptr) {
          row_.product_of_gradient(score_ + x * heads_, dw(p + x), own_, other,
                                   a_.dedge + (p + x) * size_);
        }
      }
      close_part(part);
    }
  }

  // sum_, sum2_ = the gradients of scale k_j and v_j over transposed pairs [begin, end).
  void differentiate_column(Index j, Index begin, Index end) {
    std::fill_n(sum_, padded_, T{0});
    std::fill_n(sum2_, padded_, T{0});
    row_.spread(a_.k + j * a_.k_stride, a_.scale, own_);
    row_.spread(a_.v + j * a_.v_stride, T{1}, other_);
    const Table<S> q{a_.q, a_.q_stride}, dout{a_.dout, size_};
    for (Index p = begin; p < end; p += block_) {
      const Gather pairs{a_.row + p, std::min(block_, end - p), a_.pairs - p};
      const Index* number = a_.pair + p;
      gather_statistics(pairs);
      multiply(q, dout, pairs, [&](Index x) { return number[x]; });
      row_.template dots<0>(other_, dout, pairs, {}, value_);
      for (Index x = 0; x < pairs.count * heads_; x += kWidth<T>) {
        const Vec<T> score = load(score_ + x);
        const Vec<T> share = exp<T>(clamped(score)) * load(inverses_ + x);
        store(score_ + x, dscore(score, share, load(value_ + x) - load(deltas_ + x)));
        store(value_ + x, share);
      }
      T* part = open_part(p == begin);
      for (Index x = 0; x < pairs.count; ++x) {
        row_.differentiate(score_ + x * heads_, dw(number[x]), q.row(pairs.index[x]),
                           edge(number[x]), part);
      }
      close_part(part);
      row_.weigh(value_, dout, pairs, sum2_);
    }
  }
  void gather_statistics(const Gather& pairs) {
    for (Index x = 0; x < pairs.count; ++x) {
      const T* statistic = a_.statistic + pairs.index[x] * 2 * heads_;
      std::copy_n(statistic, heads_, inverses_ + x * heads_);
      std::copy_n(statistic + heads_, heads_, deltas_ + x * heads_);
    }
  }

  T *own_, *other_, *part_;
  T *total_, *inverse_, *delta_;
  T *score_, *value_, *inverses_, *deltas_, *products_;
};

template <class S>
void forward(const EdgeAttention<S>& a, const SparseRange& r) {
  with_channels<S>(a.heads, a.width, [&](auto channels) { Edges<S, channels>(a).forward(r); });
}
template <class S>
void merge_forward(const EdgeAttention<S>& a, const SparseCut& cut) {
  with_channels<S>(a.heads, a.width,
                   [&](auto channels) { Edges<S, channels>(a).merge_forward(cut); });
}
template <class S>
void rows(const EdgeAttention<S>& a, const SparseRange& r) {
  with_channels<S>(a.heads, a.width, [&](auto channels) { Edges<S, channels>(a).rows(r); });
}
template <class S>
void merge_rows(const EdgeAttention<S>& a, const SparseCut& cut) {
  with_channels<S>(a.heads, a.width, [&](auto channels) { Edges<S, channels>(a).merge_rows(cut); });
}
template <class S>
void columns(const EdgeAttention<S>& a, const SparseRange& r) {
  with_channels<S>(a.heads, a.width, [&](auto channels) { Edges<S, channels>(a).columns(r); });
}
template <class S>
void merge_columns(const EdgeAttention<S>& a, const SparseCut& cut) {
  with_channels<S>(a.heads, a.width,
                   [&](auto channels) { Edges<S, channels>(a).merge_columns(cut); });
}

}  // namespace

template <class S>
void add_edge_kernels(detail::EdgeKernels<S>& table) {
  table = {forward<S>, merge_forward<S>, rows<S>, merge_rows<S>, columns<S>, merge_columns<S>};
}
template void add_edge_kernels<float>(detail::EdgeKernels<float>&);
template void add_edge_kernels<double>(detail::EdgeKernels<double>&);
template void add_edge_kernels<detail::Bf16>(detail::EdgeKernels<detail::Bf16>&);
template void add_edge_kernels<detail::Half>(detail::EdgeKernels<detail::Half>&);

}  // namespace gtrain::ops::GTRAIN_CPU
