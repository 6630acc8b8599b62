// A call of attention over pairs as a part of one whose arrays hold more than 2^32 elements before
// it: every number of a row, column or pair is so much higher and every pointer as much lower. No
// memory is needed, and an address is right only where all of it is computed in 64 bits.
#pragma once

#include "cuda/sparse_case.h"

namespace gtrain::ops::cuda::test {

template <class T>
std::vector<T> higher(std::vector<T> numbers, Index by) {
  for (T& x : numbers) x += static_cast<T>(by);
  return numbers;
}

struct FarWork {
  Index first_row;
  simt::Buffer<Index> start;
  simt::Buffer<ops::detail::WorkItem> items;
  simt::Buffer<ops::detail::CutRow> cuts;

  FarWork(simt::Device& device, const std::vector<Index>& starts, Index cut, Index row, Index entry)
      : first_row(row) {
    const std::vector<Index> far = higher(starts, entry);
    auto list = ops::detail::work_list(far.data(), static_cast<Index>(far.size()) - 1, cut);
    for (auto& item : list.items) item.row += static_cast<std::int32_t>(row);
    for (auto& cut_row : list.cuts) cut_row.row += static_cast<std::int32_t>(row);
    start = device.input(far, "far start");
    items = device.input(list.items, "far items");
    cuts = device.input(list.cuts, "far cuts");
  }
  void assign(Work& work) const {
    work.start = start.data() - first_row;
    work.items = items.data();
    work.cuts = cuts.data();
  }
};

// What is far in both kinds of attention; each has some arrays more.
struct Far {
  static constexpr Index kRows = Index{1} << 30, kColumns = Index{1} << 29, kPairs = Index{1} << 33;
  FarWork rows, columns;
  simt::Buffer<std::int32_t> column, row;
  simt::Buffer<Index> pair;

  Far(simt::Device& device, const Pairs& pairs, Index cut)
      : rows(device, pairs.row_start, cut, kRows, kPairs),
        columns(device, pairs.column_start, cut, kColumns, kPairs),
        column(device.input(higher<std::int32_t>(pairs.column, kColumns), "far column")),
        row(device.input(higher<std::int32_t>(pairs.row, kRows), "far row")),
        pair(device.input(higher<Index>(pairs.pair, kPairs), "far pair")) {}

  template <class Attention, class Gradient>
  void assign(Attention& a, Gradient& g) const {
    const Index size = Index{a.heads} * a.width;
    a.q -= kRows * a.q_stride;
    a.k -= kColumns * a.k_stride;
    a.v -= kColumns * a.v_stride;
    a.out -= kRows * size;
    a.column = column.data() - kPairs;
    rows.assign(a.row_work);
    g.dout -= kRows * size;
    g.delta -= kRows * a.heads;
    g.dq -= kRows * g.dq_stride;
    g.dk -= kColumns * g.dk_stride;
    g.dv -= kColumns * g.dv_stride;
    g.row = row.data() - kPairs;
    g.pair = pair.data() - kPairs;
    columns.assign(g.column_work);
  }
};

}  // namespace gtrain::ops::cuda::test
