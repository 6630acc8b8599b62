// The two products that attention over pairs is made of, for all heads of one row at a time:
//   dots:  score[p][h] = own_h · other_h(index[p])
//   weigh: sum_h += score[p][h] other_h(index[p])
// Lanes hold channels, so each other row is read once, in order. dots never adds the lanes of one
// vector: it transposes while it adds, a whole vector of scores at a time. Scores of n pairs lie
// flat, [n, H], and buffers end in one spare vector.
#pragma once

#include <algorithm>
#include <array>

#include "ops/cpu/sparse_vector.h"

namespace gtrain::ops::GTRAIN_CPU {

// How heads lie in vectors: d = 8 in 16 lanes, four vectors or any number; whole vectors; any d,
// each head's last vector partly filled.
enum class Channels { kEightByFour, kEight, kWhole, kAny };

template <class S>
inline Channels channels_of(Index heads, Index width) {
  using T = Compute<S>;
  if constexpr (std::is_same_v<T, float>) {
    if (width == 8 && heads == 8) return Channels::kEightByFour;
    if (width == 8 && heads % 2 == 0) return Channels::kEight;
  }
  return width % kWidth<T> == 0 ? Channels::kWhole : Channels::kAny;
}

// Rows [*, H, d] of one matrix.
template <class S>
struct Table {
  const S* base;
  Index stride;
  const S* row(std::int32_t i) const { return base + i * stride; }
};

// Pairs to work on: index[0 .. count), and how many entries may be read at all (for prefetching).
struct Gather {
  const std::int32_t* index;
  Index count;
  Index readable;
};

constexpr Index kAhead = 16;     // pairs between a prefetch and the use
constexpr Index kRowsAhead = 2;  // the same for what is read once per row

template <class S, Channels kChannels>
class Row {
 public:
  using T = Compute<S>;
  static constexpr Index kLanes = kWidth<T>;
  static constexpr bool kPacked =
      kChannels == Channels::kEight || kChannels == Channels::kEightByFour;

  Row(Index heads, Index width)
      : heads_(heads),
        width_(width),
        per_head_((width + kLanes - 1) / kLanes),
        vectors_(kChannels == Channels::kEightByFour ? 4
                 : kPacked                           ? heads / 2
                                                     : heads * per_head_),
        size_(heads * width) {}

  // Numbers of a row as laid out here, every vector full.
  Index padded() const { return vectors_ * kLanes; }

  // scale · row, widened, lanes beyond a head 0.
  void spread(const S* row, T scale, T* own) const {
    for_places([&](const Place& p) { store(own + p.own, vector(row, p) * scale); });
  }
  // row = own ⊙ factor[head].
  void gather(const T* own, const T* factor, S* row) const {
    for_places([&](const Place& p) { put(row, p, load(own + p.own) * expand(factor, p)); });
  }
  // own = own ⊙ factor[head].
  void rescale(const T* factor, T* own) const {
    for_places([&](const Place& p) { store(own + p.own, load(own + p.own) * expand(factor, p)); });
  }

  // row = own, lanes beyond a head left out.
  void write(const T* own, S* row) const {
    for_places([&](const Place& p) { put(row, p, load(own + p.own)); });
  }
  // product = own ⊙ row ⊙ edge; edge may be null: 1.
  void multiply(const T* own, const S* row, const S* edge, T* product) const {
    for_places([&](const Place& p) {
      Vec<T> x = load(own + p.own) * vector(row, p);
      if (edge != nullptr) x *= vector(edge, p);
      store(product + p.own, x);
    });
  }
  // sum += (d[head] + extra) ⊙ row ⊙ edge; extra may be null: 0, edge null: 1.
  void differentiate(const T* d, const S* extra, const S* row, const S* edge, T* sum) const {
    for_places([&](const Place& p) {
      Vec<T> x = total(d, extra, p) * vector(row, p);
      if (edge != nullptr) x *= vector(edge, p);
      store(sum + p.own, load(sum + p.own) + x);
    });
  }
  // product = (d[head] + extra) ⊙ own ⊙ row.
  void product_of_gradient(const T* d, const S* extra, const T* own, const S* row,
                           S* product) const {
    for_places([&](const Place& p) {
      put(product, p, total(d, extra, p) * load(own + p.own) * vector(row, p));
    });
  }
  // Sums per head of rows laid out as here.
  void head_sums(const T* products, Index count, T* score) const {
    constexpr Index group = kPacked ? 8 : kLanes;
    const Index each = kPacked ? 1 : per_head_, units = count * vectors_ / each;
    for (Index m = 0; m < units; m += group) {
      Vec<T> x[static_cast<std::size_t>(group)];
      for (Index t = 0; t < group; ++t) {
        x[t] = Vec<T>{};
        for (Index b = (m + t) * each; m + t < units && b < (m + t + 1) * each; ++b) {
          x[t] += load(products + b * kLanes);
        }
      }
      if constexpr (kPacked) {
        store(score + 2 * m, half_sums(x));
      } else {
        store(score + m, lane_sums<T>(x));
      }
    }
  }

  // Asks for a row. Inlined always: gcc takes a function that only prefetches for one without
  // effect, and drops it.
  __attribute__((always_inline)) void prefetch(const S* row) const {
    const char* p = reinterpret_cast<const char*>(row);
    for (Index byte = 0; byte < bytes(); byte += 64) __builtin_prefetch(p + byte);
  }
  // Asks for the rows of `tables` that the pair kAhead further on will need.
  template <std::size_t kTables>
  __attribute__((always_inline)) void prefetch(const std::array<Table<S>, kTables>& tables,
                                               const Gather& pairs, Index i) const {
    if constexpr (kTables > 0) {
      if (i + kAhead >= pairs.readable) return;
      const std::int32_t next = pairs.index[i + kAhead];
      for (const Table<S>& table : tables) prefetch(table.row(next));
    }
  }

  // own · row for every pair. Asks for the rows of `ahead` that pairs kAhead further on will need.
  template <std::size_t kTables>
  void dots(const T* own, const Table<S>& table, const Gather& pairs,
            const std::array<Table<S>, kTables>& ahead, T* score) const {
    if constexpr (kChannels == Channels::kEightByFour) {
      dots_of_four(own, table, pairs, ahead, score);
    } else {
      dots_of_any(own, table, pairs, ahead, score);
    }
  }

  void weigh(const T* score, const Table<S>& table, const Gather& pairs, T* sum) const {
    if constexpr (kChannels == Channels::kEightByFour) {
      strip<4>(score, table, pairs, 0, sum);
      return;
    }
    Index b = 0;
    for (; b + 4 <= vectors_; b += 4) strip<4>(score, table, pairs, b, sum);
    if (vectors_ - b == 3) strip<3>(score, table, pairs, b, sum);
    if (vectors_ - b == 2) strip<2>(score, table, pairs, b, sum);
    if (vectors_ - b == 1) strip<1>(score, table, pairs, b, sum);
  }

 private:
  Index bytes() const {
    const Index size = kChannels == Channels::kEightByFour ? 64 : size_;
    return size * static_cast<Index>(sizeof(S));
  }
  // Where a vector lies: its first lane in rows laid out as here and in rows [H, d], its (first)
  // head, and the channels from there to the head's end. Never worked out inside a loop over pairs,
  // for that takes divisions.
  struct Place {
    Index own, row, head, rest;
  };
  Place place(Index head, Index of_head) const {
    const Index b = head * per_head_ + of_head;
    return {b * kLanes, head * width_ + of_head * kLanes, head, width_ - of_head * kLanes};
  }
  Place place(Index b) const {
    if constexpr (kPacked) return {b * kLanes, b * kLanes, 2 * b, kLanes};
    return place(b / per_head_, b % per_head_);
  }
  template <class F>
  void for_places(const F& f) const {
    if constexpr (kPacked) {
      for (Index b = 0; b < vectors_; ++b) f(place(b));
    } else {
      for (Index h = 0; h < heads_; ++h) {
        for (Index b = 0; b < per_head_; ++b) f(place(h, b));
      }
    }
  }
  Vec<T> vector(const S* row, const Place& p) const {
    if constexpr (kChannels == Channels::kAny) return load(row + p.row, p.rest);
    return load(row + p.row);
  }
  void put(S* row, const Place& p, Vec<T> v) const {
    if constexpr (kChannels == Channels::kAny) return store(row + p.row, v, p.rest);
    store(row + p.row, v);
  }
  Vec<T> total(const T* d, const S* extra, const Place& p) const {
    const Vec<T> x = expand(d, p);
    return extra != nullptr ? x + vector(extra, p) : x;
  }
  // factor[head] on the lanes of a vector.
  Vec<T> expand(const T* factor, const Place& p) const {
    if constexpr (kPacked) return two_halves(factor + p.head);
    return splat<T>(factor[p.head]);
  }

  template <std::size_t kTables>
  void dots_of_four(const T* own, const Table<S>& table, const Gather& pairs,
                    const std::array<Table<S>, kTables>& ahead, T* score) const {
    const Vec<T> o[4] = {load(own), load(own + 16), load(own + 32), load(own + 48)};
    for (Index i = 0; i < pairs.count; i += 2) {
      prefetch(ahead, pairs, i);
      if (i + 1 < pairs.count) prefetch(ahead, pairs, i + 1);
      const S* first = table.row(pairs.index[i]);
      const S* second = i + 1 < pairs.count ? table.row(pairs.index[i + 1]) : first;
      Vec<T> x[8];
      for (int b = 0; b < 4; ++b) {
        x[b] = o[b] * load(first + 16 * b);
        x[b + 4] = o[b] * load(second + 16 * b);
      }
      store(score + 8 * i, half_sums(x));
    }
  }

  // Units of one pair: vectors where two heads share one, else heads.
  template <std::size_t kTables>
  void dots_of_any(const T* own, const Table<S>& table, const Gather& pairs,
                   const std::array<Table<S>, kTables>& ahead, T* score) const {
    constexpr Index group = kPacked ? 8 : kLanes;
    const Index units = kPacked ? vectors_ : heads_, total = pairs.count * units;
    Index pair = 0, unit = 0;
    for (Index m = 0; m < total; m += group) {
      Vec<T> x[static_cast<std::size_t>(group)];
      for (Index t = 0; t < group; ++t) {
        if (m + t >= total) {
          x[t] = Vec<T>{};
          continue;
        }
        if (unit == 0) prefetch(ahead, pairs, pair);
        x[t] = product(own, table.row(pairs.index[pair]), unit);
        if (++unit == units) {
          unit = 0;
          ++pair;
        }
      }
      if constexpr (kPacked) {
        store(score + 2 * m, half_sums(x));
      } else {
        store(score + m, lane_sums<T>(x));
      }
    }
  }
  Vec<T> product(const T* own, const S* row, Index unit) const {
    if constexpr (kPacked) {
      return load(own + unit * kLanes) * load(row + unit * kLanes);
    } else {
      Vec<T> sum = {};
      for (Index b = 0; b < per_head_; ++b) {
        const Place p = place(unit, b);
        sum += load(own + p.own) * vector(row, p);
      }
      return sum;
    }
  }

  // Adds to vectors [first, first + kCount) of the sum what these pairs give. That is summed apart,
  // in registers: a row of thousands of pairs loses what its blocks lose, and little more.
  template <int kCount>
  void strip(const T* score, const Table<S>& table, const Gather& pairs, Index first,
             T* sum) const {
    Vec<T> acc[kCount];
    Place at[kCount];
#pragma GCC unroll 4  // early: else the sums go to the stack for every pair
    for (int c = 0; c < kCount; ++c) {
      acc[c] = Vec<T>{};
      at[c] = place(first + c);
    }
    for (Index i = 0; i < pairs.count; ++i) {
      const S* row = table.row(pairs.index[i]);
      const T* s = score + i * (kChannels == Channels::kEightByFour ? 8 : heads_);
#pragma GCC unroll 4
      for (int c = 0; c < kCount; ++c) acc[c] += expand(s, at[c]) * vector(row, at[c]);
    }
#pragma GCC unroll 4
    for (int c = 0; c < kCount; ++c) {
      T* to = sum + at[c].own;
      store(to, load(to) + acc[c]);
    }
  }

  Index heads_, width_, per_head_, vectors_, size_;
};

}  // namespace gtrain::ops::GTRAIN_CPU
