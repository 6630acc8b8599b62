// Reductions over segments of rows, and rows by index.
#include "ops/cpu/kernel.h"
#include "ops/detail/columns.h"

namespace gtrain::ops::GTRAIN_CPU {
namespace {

using detail::Compute;
using Index = std::int64_t;

// Sum of the rows [begin, end) (or of those at their positions) in the columns of one block.
template <class T, class S, class C, int V = C::kVectors>
inline void add_rows(const C& columns, Index begin, Index end, Index d, const S* x,
                     const Index* position, Vec<T> (&sum)[V]) {
  for (Index k = begin; k < end; ++k) {
    const S* row = x + (position != nullptr ? position[k] : k) * d;
    for (int u = 0; u < V; ++u) sum[u] += columns.load(row, u);
  }
}

template <class S>
void sum(Index begin, Index end, Index d, const S* x, const Index* position, const Index* start,
         bool mean, S* out) {
  using T = Compute<S>;
  for_columns<T>(d, [&](auto columns) {
    constexpr int V = decltype(columns)::kVectors;
    for (Index g = begin; g < end; ++g) {
      Vec<T> total[V] = {};
      add_rows<T>(columns, start[g], start[g + 1], d, x, position, total);
      const Index count = start[g + 1] - start[g];
      for (int u = 0; u < V; ++u) {
        if (mean && count > 1) total[u] /= static_cast<T>(count);
        columns.store(out + g * d, u, total[u]);
      }
    }
  });
}

template <class S>
void part_sum(Index begin, Index end, Index d, const S* x, const Index* position, Compute<S>* out) {
  using T = Compute<S>;
  for_columns<T>(d, [&](auto columns) {
    constexpr int V = decltype(columns)::kVectors;
    Vec<T> total[V] = {};
    add_rows<T>(columns, begin, end, d, x, position, total);
    for (int u = 0; u < V; ++u) columns.store(out, u, total[u]);
  });
}

template <class S>
void part_spread(Index begin, Index end, Index d, const S* g, Compute<S> scale, S* dx) {
  using T = Compute<S>;
  for_columns<T>(d, [&](auto columns) {
    for (int u = 0; u < decltype(columns)::kVectors; ++u) {
      const Vec<T> value = columns.load(g, u) * scale;
      for (Index k = begin; k < end; ++k) columns.store(dx + k * d, u, value);
    }
  });
}

// Largest rows of one block of columns, begin < end; `where` counts from begin.
template <class T, class S, class C, int V = C::kVectors>
inline void largest_rows(const C& columns, Index begin, Index end, Index d, const S* x,
                         Vec<T> (&best)[V], typename Simd<T>::I (&where)[V]) {
  using I = typename Simd<T>::I;
  for (int u = 0; u < V; ++u) {
    best[u] = columns.load(x + begin * d, u);
    where[u] = I{};
  }
  for (Index k = begin + 1; k < end; ++k) {
    const I number = I{} + static_cast<int>(k - begin);
    for (int u = 0; u < V; ++u) {
      const Vec<T> value = columns.load(x + k * d, u);
      const I wins = (value > best[u]) | ((value != value) & (best[u] == best[u]));
      best[u] = wins ? value : best[u];
      where[u] = wins ? number : where[u];
    }
  }
}

template <class C, class I>
inline void store_argmax(const C& columns, int u, Index first, Index d, I where, Index* argmax) {
  constexpr Index w = sizeof(where) / sizeof(where[0]);
  for (Index l = 0; l < w; ++l) {
    const Index c = columns.first + u * w + l;
    if (c < d) argmax[c] = first < 0 ? -1 : first + where[static_cast<int>(l)];
  }
}

template <class S>
void max(Index begin, Index end, Index d, const S* x, const Index* start, S* out, Index* argmax) {
  using T = Compute<S>;
  for_columns<T>(d, [&](auto columns) {
    constexpr int V = decltype(columns)::kVectors;
    for (Index g = begin; g < end; ++g) {
      Vec<T> best[V] = {};
      typename Simd<T>::I where[V] = {};
      const bool empty = start[g] == start[g + 1];
      if (!empty) largest_rows<T>(columns, start[g], start[g + 1], d, x, best, where);
      for (int u = 0; u < V; ++u) {
        columns.store(out + g * d, u, best[u]);
        store_argmax(columns, u, empty ? -1 : start[g], d, where[u], argmax + g * d);
      }
    }
  });
}

template <class S>
void part_max(Index begin, Index end, Index d, const S* x, Compute<S>* value, Index* argmax) {
  using T = Compute<S>;
  for_columns<T>(d, [&](auto columns) {
    constexpr int V = decltype(columns)::kVectors;
    Vec<T> best[V];
    typename Simd<T>::I where[V];
    largest_rows<T>(columns, begin, end, d, x, best, where);
    for (int u = 0; u < V; ++u) {
      columns.store(value, u, best[u]);
      store_argmax(columns, u, begin, d, where[u], argmax);
    }
  });
}

constexpr float kInfinity = __builtin_inff();

// e^(x - shift), 0 for -inf (the series' clamp would leave the smallest normal number).
template <class T>
inline Vec<T> shifted_exp(Vec<T> x, Vec<T> shift) {
  return x == -static_cast<T>(kInfinity) ? Vec<T>{} : exp<T>(x - shift);
}

template <class T, class S, class C, int V = C::kVectors>
inline void exponentials(const C& columns, Index begin, Index end, Index d, const S* x,
                         Vec<T> (&largest)[V], Vec<T> (&total)[V]) {
  const T infinity = static_cast<T>(kInfinity);
  for (int u = 0; u < V; ++u) {
    Vec<T> best = splat<T>(-infinity);
    for (Index k = begin; k < end; ++k) {
      const Vec<T> value = columns.load(x + k * d, u);
      best = value > best ? value : best;
    }
    largest[u] = best == -infinity ? Vec<T>{} : best;
    total[u] = Vec<T>{};
    for (Index k = begin; k < end; ++k) {
      total[u] += shifted_exp<T>(columns.load(x + k * d, u), largest[u]);
    }
  }
}

template <class T, class S, class C, int V = C::kVectors>
inline void write_softmax(const C& columns, Index begin, Index end, Index d, const S* x,
                          const Vec<T> (&largest)[V], const Vec<T> (&inverse)[V], S* y) {
  for (Index k = begin; k < end; ++k) {
    for (int u = 0; u < V; ++u) {
      const Vec<T> e = shifted_exp<T>(columns.load(x + k * d, u), largest[u]);
      columns.store(y + k * d, u, e * inverse[u]);
    }
  }
}

template <class S>
void softmax(Index begin, Index end, Index d, const S* x, const Index* start, S* y) {
  using T = Compute<S>;
  for_columns<T>(d, [&](auto columns) {
    constexpr int V = decltype(columns)::kVectors;
    for (Index g = begin; g < end; ++g) {
      Vec<T> largest[V], inverse[V];
      exponentials<T>(columns, start[g], start[g + 1], d, x, largest, inverse);
      for (int u = 0; u < V; ++u) inverse[u] = inverse[u] == 0 ? Vec<T>{} : 1 / inverse[u];
      write_softmax<T>(columns, start[g], start[g + 1], d, x, largest, inverse, y);
    }
  });
}

template <class S>
void part_exponentials(Index begin, Index end, Index d, const S* x, Compute<S>* largest,
                       Compute<S>* total) {
  using T = Compute<S>;
  for_columns<T>(d, [&](auto columns) {
    constexpr int V = decltype(columns)::kVectors;
    Vec<T> m[V], s[V];
    exponentials<T>(columns, begin, end, d, x, m, s);
    for (int u = 0; u < V; ++u) columns.store(largest, u, m[u]);
    for (int u = 0; u < V; ++u) columns.store(total, u, s[u]);
  });
}

template <class S>
void part_softmax(Index begin, Index end, Index d, const S* x, const Compute<S>* largest,
                  const Compute<S>* inverse, S* y) {
  using T = Compute<S>;
  for_columns<T>(d, [&](auto columns) {
    constexpr int V = decltype(columns)::kVectors;
    Vec<T> m[V], r[V];
    for (int u = 0; u < V; ++u) m[u] = columns.load(largest, u);
    for (int u = 0; u < V; ++u) r[u] = columns.load(inverse, u);
    write_softmax<T>(columns, begin, end, d, x, m, r, y);
  });
}

template <class S>
void part_dot(Index begin, Index end, Index d, const S* y, const S* g, Compute<S>* dot) {
  using T = Compute<S>;
  for_columns<T>(d, [&](auto columns) {
    constexpr int V = decltype(columns)::kVectors;
    Vec<T> total[V] = {};
    for (Index k = begin; k < end; ++k) {
      for (int u = 0; u < V; ++u) {
        total[u] += columns.load(y + k * d, u) * columns.load(g + k * d, u);
      }
    }
    for (int u = 0; u < V; ++u) columns.store(dot, u, total[u]);
  });
}

template <class S>
void part_softmax_backward(Index begin, Index end, Index d, const S* y, const S* g,
                           const Compute<S>* dot, S* dx) {
  using T = Compute<S>;
  for_columns<T>(d, [&](auto columns) {
    for (int u = 0; u < decltype(columns)::kVectors; ++u) {
      const Vec<T> shift = columns.load(dot, u);
      for (Index k = begin; k < end; ++k) {
        const Vec<T> p = columns.load(y + k * d, u);
        columns.store(dx + k * d, u, p * (columns.load(g + k * d, u) - shift));
      }
    }
  });
}

template <class S>
void softmax_backward(Index begin, Index end, Index d, const S* y, const S* g, const Index* start,
                      S* dx) {
  using T = Compute<S>;
  for_columns<T>(d, [&](auto columns) {
    constexpr int V = decltype(columns)::kVectors;
    for (Index s = begin; s < end; ++s) {
      Vec<T> dot[V] = {};
      for (Index k = start[s]; k < start[s + 1]; ++k) {
        for (int u = 0; u < V; ++u) {
          dot[u] += columns.load(y + k * d, u) * columns.load(g + k * d, u);
        }
      }
      for (Index k = start[s]; k < start[s + 1]; ++k) {
        for (int u = 0; u < V; ++u) {
          const Vec<T> p = columns.load(y + k * d, u);
          columns.store(dx + k * d, u, p * (columns.load(g + k * d, u) - dot[u]));
        }
      }
    }
  });
}

template <class S>
void gather(Index begin, Index end, Index d, const S* x, const Index* index, S* out) {
  for (Index p = begin; p < end; ++p) std::copy_n(x + index[p] * d, d, out + p * d);
}

}  // namespace

template <class S>
void add_segment_kernels(detail::SegmentKernels<S>& table) {
  table.sum = sum<S>;
  table.part_sum = part_sum<S>;
  table.part_spread = part_spread<S>;
  table.max = max<S>;
  table.part_max = part_max<S>;
  table.softmax = softmax<S>;
  table.part_exponentials = part_exponentials<S>;
  table.part_softmax = part_softmax<S>;
  table.softmax_backward = softmax_backward<S>;
  table.part_dot = part_dot<S>;
  table.part_softmax_backward = part_softmax_backward<S>;
  table.gather = gather<S>;
}

template void add_segment_kernels(detail::SegmentKernels<float>&);
template void add_segment_kernels(detail::SegmentKernels<double>&);
template void add_segment_kernels(detail::SegmentKernels<detail::Bf16>&);
template void add_segment_kernels(detail::SegmentKernels<detail::Half>&);

}  // namespace gtrain::ops::GTRAIN_CPU
