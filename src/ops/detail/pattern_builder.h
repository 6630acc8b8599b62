// Builds a pattern row by row in parallel: tasks over fixed ranges of rows list their pairs, which
// are then laid one after another.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "gtrain/ops/attention_pattern.h"
#include "ops/detail/parallel.h"

namespace gtrain::ops::detail {

void check_graph_start(const at::Tensor& graph_start);

// The pairs of one row, columns in the order given.
struct PairSink {
  std::vector<std::int32_t> column;
  std::vector<std::uint8_t> type;

  void add(std::int64_t c, std::int64_t t = 0) {
    column.push_back(static_cast<std::int32_t>(c));
    type.push_back(static_cast<std::uint8_t>(t));
  }
};

// list(row, sink) adds the pairs of a row. types = 1: the pattern keeps no types.
template <class List>
AttentionPattern build_pattern(const at::Tensor& graph_start, std::int64_t rows,
                               std::int64_t columns, std::int64_t types, const List& list) {
  constexpr std::int64_t kRows = 512;
  const std::int64_t tasks = (rows + kRows - 1) / kRows;
  std::vector<PairSink> parts(static_cast<std::size_t>(tasks));
  at::Tensor row_start = at::empty({rows + 1}, at::kLong);
  auto* start = row_start.mutable_data_ptr<std::int64_t>();
  start[0] = 0;
  parallel_tasks(tasks, false, [&](std::int64_t t) {
    PairSink& sink = parts[static_cast<std::size_t>(t)];
    for (std::int64_t r = t * kRows; r < std::min(rows, (t + 1) * kRows); ++r) {
      list(r, sink);
      start[r + 1] = static_cast<std::int64_t>(sink.column.size());  // within the task so far
    }
  });
  std::vector<std::int64_t> offset(static_cast<std::size_t>(tasks) + 1, 0);
  for (std::size_t t = 0; t < parts.size(); ++t) {
    offset[t + 1] = offset[t] + static_cast<std::int64_t>(parts[t].column.size());
  }
  at::Tensor column = at::empty({offset.back()}, at::kInt);
  at::Tensor type = types > 1 ? at::empty({offset.back()}, at::kByte) : at::Tensor();
  auto* column_data = column.mutable_data_ptr<std::int32_t>();
  std::uint8_t* type_data = types > 1 ? type.mutable_data_ptr<std::uint8_t>() : nullptr;
  parallel_tasks(tasks, false, [&](std::int64_t t) {
    PairSink& sink = parts[static_cast<std::size_t>(t)];
    const std::int64_t first = offset[static_cast<std::size_t>(t)];
    std::copy(sink.column.begin(), sink.column.end(), column_data + first);
    if (type_data != nullptr) std::copy(sink.type.begin(), sink.type.end(), type_data + first);
    sink = PairSink();
    for (std::int64_t r = t * kRows; r < std::min(rows, (t + 1) * kRows); ++r)
      start[r + 1] += first;
  });
  return csr_pattern(graph_start, row_start, column, columns, type, types);
}

}  // namespace gtrain::ops::detail
