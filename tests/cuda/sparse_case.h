// Pairs and numbers for the tests of the sparse kernels: CSR patterns with their transpose and work
// lists, and values that their storage type holds exactly, so that a double-precision reference
// reads what the kernel reads.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "ops/cuda/element.h"
#include "ops/cuda/work.h"
#include "ops/detail/work_list.h"
#include "support/simt/device.h"

namespace gtrain::ops::cuda::test {

using Index = std::int64_t;
using Numbers = std::vector<double>;

struct Pairs {
  Index rows = 0, columns = 0;
  std::vector<Index> row_start{0}, column_start, pair;
  std::vector<std::int32_t> column, row;
  std::vector<std::uint8_t> type;

  Index count() const { return static_cast<Index>(column.size()); }
};

// `lists[i]`: the columns row i attends to, in that order.
inline Pairs pairs_of(const std::vector<std::vector<std::int32_t>>& lists, Index columns) {
  Pairs p;
  p.rows = static_cast<Index>(lists.size());
  p.columns = columns;
  for (const auto& list : lists) {
    p.column.insert(p.column.end(), list.begin(), list.end());
    p.row_start.push_back(p.count());
  }
  for (Index e = 0; e < p.count(); ++e) p.type.push_back(static_cast<std::uint8_t>(e * 7 % 3));
  for (Index j = 0; j < columns; ++j) {
    p.column_start.push_back(static_cast<Index>(p.row.size()));
    for (Index i = 0; i < p.rows; ++i) {
      for (Index e = p.row_start[i]; e < p.row_start[i + 1]; ++e) {
        if (p.column[e] != j) continue;
        p.row.push_back(static_cast<std::int32_t>(i));
        p.pair.push_back(e);
      }
    }
  }
  p.column_start.push_back(p.count());
  return p;
}

// Up to `most` columns a row, unsorted and with repeats; every fourth row is empty.
inline Pairs random_pairs(unsigned seed, int rows, int columns, int most) {
  std::mt19937 random(seed);
  std::vector<std::vector<std::int32_t>> lists(static_cast<std::size_t>(rows));
  for (int i = 0; i < rows; ++i) {
    const unsigned length = i % 4 == 3 ? 0 : 1 + random() % static_cast<unsigned>(most);
    for (unsigned e = 0; e < length; ++e) {
      lists[static_cast<std::size_t>(i)].push_back(
          static_cast<std::int32_t>(random() % static_cast<unsigned>(columns)));
    }
  }
  return pairs_of(lists, columns);
}

// Row 1 and column 1 meet all others, row 1 `length` entries in all; self loops; row 2 is empty.
inline Pairs hub_pairs(int nodes, int length) {
  std::vector<std::vector<std::int32_t>> lists(static_cast<std::size_t>(nodes));
  for (int i = 0; i < nodes; ++i) {
    if (i != 2) lists[static_cast<std::size_t>(i)] = {1, i};
  }
  for (int e = 2; e < length; ++e) lists[1].push_back((e * 5 + 1) % nodes);
  return pairs_of(lists, nodes);
}

// How many rows a work list of this length cuts.
inline unsigned rows_cut(const std::vector<Index>& start, Index cut) {
  unsigned count = 0;
  for (std::size_t i = 0; i + 1 < start.size(); ++i) count += start[i + 1] - start[i] > cut;
  return count;
}

inline Numbers uniform(unsigned seed, Index count, double low = -1, double high = 1) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> draw(low, high);
  Numbers out(static_cast<std::size_t>(count));
  for (double& x : out) x = draw(random);
  return out;
}

template <class S>
std::vector<S> stored(const Numbers& x) {
  std::vector<S> out;
  for (double v : x) out.push_back(from_float<S>(static_cast<compute_t<S>>(v)));
  return out;
}
template <class S>
Numbers numbers(const std::vector<S>& x) {
  Numbers out;
  for (S v : x) out.push_back(to_float(v));
  return out;
}
// As S holds them.
template <class S>
Numbers rounded(const Numbers& x) {
  return numbers(stored<S>(x));
}

// Of outputs of size 1, after sums of a few dozen terms.
template <class S>
constexpr double kTolerance = 6e-2;
template <>
inline constexpr double kTolerance<f16> = 8e-3;
template <>
inline constexpr double kTolerance<float> = 1e-5;
template <>
inline constexpr double kTolerance<double> = 1e-12;

template <class S>
void expect_near(const Numbers& found, const Numbers& wanted, const std::string& what,
                 double scale = 1) {
  ASSERT_EQ(found.size(), wanted.size()) << what;
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (found[i] == wanted[i]) continue;
    const double bound = kTolerance<S> * (scale + std::abs(wanted[i]));
    ASSERT_LE(std::abs(found[i] - wanted[i]), bound)
        << what << "[" << i << "] is " << found[i] << "; expected " << wanted[i];
  }
}

// A work list on the device.
template <class S>
struct DeviceWork {
  simt::Buffer<Index> start;
  simt::Buffer<ops::detail::WorkItem> items;
  simt::Buffer<ops::detail::CutRow> cuts;
  simt::Buffer<compute_t<S>> partial;
  Work work;

  // cut 0: no list. `sums`: numbers of a partial result.
  DeviceWork(simt::Device& device, const std::vector<Index>& starts, Index cut, Index sums) {
    start = device.input(starts, "start");
    work.start = start.data();
    work.rows = static_cast<Index>(starts.size()) - 1;
    if (cut == 0) return;
    const auto list = ops::detail::work_list(starts.data(), work.rows, cut);
    items = device.input(list.items, "items");
    cuts = device.input(list.cuts, "cuts");
    partial = device.output<compute_t<S>>(static_cast<std::size_t>(list.parts * sums), "partial");
    work.items = items.data();
    work.item_count = static_cast<Index>(list.items.size());
    work.cuts = cuts.data();
    work.cut_count = static_cast<Index>(list.cuts.size());
    work.parts = list.parts;
    work.partial = partial.data();
  }
};

// How the matrices of attention lie in memory: `size` columns; q, k, v (and their gradients) as
// slices of one matrix where `packed`; the tensor named `shifted` starts one element late, that
// named `gapped` has a gap of one between rows, so neither can be read 16 bytes at a time.
struct Layout {
  Index size = 1;
  bool packed = false;
  std::string shifted, gapped;
};

template <class S>
struct Matrix {
  simt::Buffer<S> buffer;
  S* data = nullptr;
  Index rows = 0, size = 0, stride = 0;

  Numbers read() const {
    const std::vector<S> all =
        stride == size && data == buffer.data() ? buffer.read() : buffer.read_any();
    Numbers out;
    for (Index i = 0; i < rows; ++i) {
      const S* from = all.data() + (data - buffer.data()) + i * stride;
      for (Index c = 0; c < size; ++c) out.push_back(to_float(from[c]));
    }
    return out;
  }
};

template <class S>
Matrix<S> input_matrix(simt::Device& device, const Layout& layout, const Numbers& values,
                       const std::string& name) {
  const Index skip = layout.shifted == name ? 1 : 0, size = layout.size;
  const Index stride = size + (layout.gapped == name ? 1 : 0);
  const Index rows = static_cast<Index>(values.size()) / size;
  Numbers all(static_cast<std::size_t>(skip + rows * stride), 9e3);
  for (Index i = 0; i < rows; ++i) {
    std::copy_n(values.begin() + i * size, size, all.begin() + skip + i * stride);
  }
  Matrix<S> m{device.input(stored<S>(all), name), nullptr, rows, size, stride};
  m.data = m.buffer.data() + skip;
  return m;
}

template <class S>
Matrix<S> output_matrix(simt::Device& device, const Layout& layout, Index rows,
                        const std::string& name) {
  const Index skip = layout.shifted == name ? 1 : 0;
  const Index stride = layout.size + (layout.gapped == name ? 1 : 0);
  const auto count = static_cast<std::size_t>(skip + rows * stride);
  Matrix<S> m{device.output<S>(count, name), nullptr, rows, layout.size, stride};
  m.data = m.buffer.data() + skip;
  return m;
}

// q, k, v and their gradients.
template <class S>
struct Projections {
  Matrix<S> q, k, v, dq, dk, dv;

  Projections(simt::Device& device, const Layout& layout, const Numbers& xq, const Numbers& xk,
              const Numbers& xv) {
    const Numbers* values[] = {&xq, &xk, &xv};
    Matrix<S>* in[] = {&q, &k, &v};
    Matrix<S>* gradient[] = {&dq, &dk, &dv};
    const char* names[] = {"q", "k", "v"};
    const Index size = layout.size, rows = static_cast<Index>(xq.size()) / size;
    if (layout.packed) {
      Numbers all;
      for (Index i = 0; i < rows; ++i) {
        for (const Numbers* from : values) {
          all.insert(all.end(), from->begin() + i * size, from->begin() + (i + 1) * size);
        }
      }
      const auto qkv = device.input(stored<S>(all), "qkv");
      const auto dqkv = device.output<S>(all.size(), "dqkv");
      for (int i = 0; i < 3; ++i) {
        *in[i] = {qkv, qkv.data() + i * size, rows, size, 3 * size};
        *gradient[i] = {dqkv, dqkv.data() + i * size, rows, size, 3 * size};
      }
      return;
    }
    for (int i = 0; i < 3; ++i) {
      *in[i] = input_matrix<S>(device, layout, *values[i], names[i]);
      *gradient[i] = output_matrix<S>(device, layout, in[i]->rows, std::string("d") + names[i]);
    }
  }

  template <class Forward, class Backward>
  void assign(Forward& a, Backward& g) const {
    a.q = q.data;
    a.k = k.data;
    a.v = v.data;
    a.q_stride = q.stride;
    a.k_stride = k.stride;
    a.v_stride = v.stride;
    g.dq = dq.data;
    g.dk = dk.data;
    g.dv = dv.data;
    g.dq_stride = dq.stride;
    g.dk_stride = dk.stride;
    g.dv_stride = dv.stride;
  }
};

}  // namespace gtrain::ops::cuda::test
