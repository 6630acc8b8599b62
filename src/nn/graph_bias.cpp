#include "gtrain/nn/graph_bias.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <limits>
#include <unordered_map>

#include "gtrain/nn/graph_token.h"
#include "gtrain/ops/gather.h"
#include "gtrain/ops/segment.h"

namespace gtrain::nn {
namespace {

constexpr std::int64_t kBytes = 256;
constexpr std::int64_t kUnreachable = 255;
constexpr double kDeviation = 0.02;

}  // namespace

void BiasTables::fields(base::FieldVisitor& f) {
  f({.key = "distances",
     .doc =
         "rows of the distance table; with less than max_distance + 2 the farthest pairs and those "
         "out of reach share the last",
     .min = 0,
     .max = 65536},
    distances);
  f({.key = "edges", .doc = "rows of the edge table", .min = 0, .max = 1e7}, edges);
  f({.key = "edge_stride",
     .doc = "rows from the values of one edge column to those of the next; 0: no gaps",
     .min = 0,
     .max = 65536},
    edge_stride);
  f({.key = "matrices", .doc = "matrices allocated, at least hops", .min = 0, .max = 65536},
    matrices);
}

void GraphBiasOptions::fields(base::FieldVisitor& f) {
  f({.key = "degrees",
     .doc = "rows of the two degree tables; larger degrees share the last row; 0: no centrality "
            "encoding",
     .min = 0,
     .max = 1e6},
    degrees);
  f({.key = "max_distance",
     .doc = "longer distances share its row; pairs out of reach have their own",
     .min = 1,
     .max = 252},
    max_distance);
  f({.key = "cut",
     .doc = "pairs this many hops apart or more do not attend; 0: all do",
     .min = 0,
     .max = 254},
    cut);
  f({.key = "path",
     .doc = "edges that count: multi_hop: of the shortest path; single_hop: between both nodes",
     .one_of = {"multi_hop", "single_hop", "none"}},
    path);
  f({.key = "hops", .doc = "edges of a path that count (multi_hop)", .min = 1, .max = 252}, hops);
  f({.key = "token", .doc = "a learned token in front of every graph's nodes"}, token);
  f({.key = "tables", .doc = "rows of the tables; 0: what data and options need"}, tables);
  f({.key = "quirks",
     .doc = "what the authors' code does besides: padding_rows: tables start with a row for "
            "padding, so distances and degrees stand one row further on; v1_padding: that row of "
            "the edge table is drawn, never trained, and added for hops and pairs without an edge, "
            "up to the batch's longest path; port_padding: hops after a path's end count as edges "
            "of type 0, distances out of reach divide; port_token_sort: a sort leaves tokens and "
            "nodes of "
            "a graph in any order, while the bias stays; out_degree_twice: both degree tables are "
            "read at the out-degree",
     .one_of = {"padding_rows", "v1_padding", "port_padding", "port_token_sort",
                "out_degree_twice"}},
    quirks);
  f.require(tables.matrices == 0 || tables.matrices >= hops, "tables.matrices",
            "is less than hops");
  f.require(!quirk("port_token_sort") || token, "quirks", "port_token_sort needs the token");
  f.require(!quirk("v1_padding") || quirk("padding_rows"), "quirks",
            "v1_padding needs padding_rows");
}

bool GraphBiasOptions::quirk(std::string_view name) const {
  return std::find(quirks.begin(), quirks.end(), name) != quirks.end();
}

GraphBias::GraphBias(std::int64_t heads, const GraphBiasOptions& options,
                     std::vector<std::int64_t> categories)
    : options_(options), categories_(std::move(categories)) {
  const bool padding = options.quirk("padding_rows");
  const std::int64_t distances =
      options.tables.distances > 0 ? options.tables.distances : options.max_distance + 2 + padding;
  distance = parameter("distance", {distances, heads});
  if (options.token) token = parameter("token", {1, heads});
  if (options.path == "none") return;
  const bool multi = options.path == "multi_hop";
  std::int64_t rows = !padding ? 0 : multi ? 3 : 2;
  for (const std::int64_t count : categories_) {
    offset_.push_back(rows);
    rows += options.tables.edge_stride > 0 ? options.tables.edge_stride : count;
  }
  const std::int64_t needed = offset_.empty() ? 0 : offset_.back() + categories_.back();
  TORCH_CHECK(options.tables.edges == 0 || options.tables.edges >= needed,
              "[graph_bias] the edge table has ", options.tables.edges, " rows; expected ", needed,
              " at least");
  edge = parameter("edge", {options.tables.edges > 0 ? options.tables.edges : needed, heads});
  if (!multi) return;
  const std::int64_t least = options.hops + (options.quirk("port_padding") ? 1 : 0);
  hop = parameter("hop", {std::max(options.tables.matrices, least), heads, heads});
}

std::int64_t GraphBias::distance_row(std::int64_t hops) const {
  const std::int64_t last = distance.size(0) - 1;
  if (hops == kUnreachable) return last;
  const std::int64_t shift = options_.quirk("padding_rows") ? 1 : 0;
  return std::min(std::min(hops, options_.max_distance) + shift, last);
}

// Bytes of the pairs and the table they select from: one row per distance that occurs, then the
// token's and that of pairs cut off.
at::Tensor GraphBias::buckets(const PairInput& input, const at::Tensor& start,
                              ops::AttentionBias& bias) {
  const std::int64_t graphs = start.size(0) - 1, extra = options_.token ? 1 : 0;
  const std::int64_t* first = input.graph_start.const_data_ptr<std::int64_t>();
  const std::uint8_t* from = input.hops.const_data_ptr<std::uint8_t>();
  std::array<bool, kBytes> seen{};
  for (std::int64_t p = 0; p < input.hops.numel(); ++p) seen[from[p]] = true;
  std::array<std::uint8_t, kBytes> bucket{};
  std::vector<std::int64_t> rows;
  const auto is_cut = [&](std::int64_t b) { return options_.cut > 0 && b >= options_.cut; };
  for (std::int64_t b = 0; b < kBytes; ++b) {
    if (!seen[static_cast<std::size_t>(b)] || is_cut(b)) continue;
    const std::int64_t row = distance_row(b);
    const auto known = std::find(rows.begin(), rows.end(), row);
    bucket[static_cast<std::size_t>(b)] = static_cast<std::uint8_t>(known - rows.begin());
    if (known == rows.end()) rows.push_back(row);
  }
  const auto of_token = static_cast<std::uint8_t>(rows.size());
  const auto of_cut = static_cast<std::uint8_t>(rows.size() + static_cast<std::size_t>(extra));
  for (std::int64_t b = 0; b < kBytes; ++b) {
    if (is_cut(b)) bucket[static_cast<std::size_t>(b)] = of_cut;
  }

  std::int64_t total = 0;
  bias.pair_start = at::zeros_like(start);
  std::int64_t* pair_start = bias.pair_start.mutable_data_ptr<std::int64_t>();
  for (std::int64_t g = 0; g < graphs; ++g) {
    const std::int64_t m = first[g + 1] - first[g] + extra;
    pair_start[g + 1] = total += m * m;
  }
  bias.hops = at::empty({total}, at::kByte);
  std::uint8_t* to = bias.hops.mutable_data_ptr<std::uint8_t>();
  for (std::int64_t g = 0; g < graphs; ++g) {
    const std::int64_t n = first[g + 1] - first[g];
    if (extra > 0) to = std::fill_n(to, n + 1, of_token);
    for (std::int64_t i = 0; i < n; ++i) {
      if (extra > 0) *to++ = of_token;
      for (std::int64_t j = 0; j < n; ++j) *to++ = bucket[*from++];
    }
  }
  std::vector<at::Tensor> parts{
      distance.index_select(0, at::tensor(rows, at::kLong).to(distance.device()))};
  if (token.defined()) parts.push_back(token);
  if (options_.cut > 0 || rows.empty()) {
    parts.push_back(at::full({1, distance.size(1)}, -std::numeric_limits<double>::infinity(),
                             distance.options().requires_grad(false)));
  }
  return at::cat(parts);
}

// The distinct rows among the edges, [U, F], and which one each edge is: its code, from 2.
std::pair<at::Tensor, at::Tensor> GraphBias::edge_kinds(const at::Tensor& columns) const {
  const auto width = static_cast<std::int64_t>(categories_.size());
  TORCH_CHECK(columns.dim() == 2 && columns.scalar_type() == at::kLong && columns.size(1) >= width,
              "[graph_bias] edges have shape ", columns.sizes(), " and type ",
              columns.scalar_type(), "; expected int64 [E, ", width, "]");
  const std::int64_t count = columns.size(0), stride = columns.size(1);
  const at::Tensor dense = columns.contiguous();
  const std::int64_t* value = dense.const_data_ptr<std::int64_t>();
  const at::Tensor code = at::empty({count}, at::kLong);
  std::int64_t* to = code.mutable_data_ptr<std::int64_t>();
  std::unordered_map<std::int64_t, std::int64_t> known;
  std::vector<std::int64_t> kinds;
  for (std::int64_t e = 0; e < count; ++e, value += stride) {
    std::int64_t key = 0;
    for (std::int64_t c = 0; c < width; ++c) {
      const std::int64_t limit = categories_[static_cast<std::size_t>(c)];
      TORCH_CHECK(value[c] >= 0 && value[c] < limit, "[graph_bias] edge column ", c, " holds ",
                  value[c], "; expected a category below ", limit);
      key = key * limit + value[c];
    }
    const auto [it, fresh] = known.try_emplace(key, static_cast<std::int64_t>(known.size()));
    to[e] = it->second + 2;
    if (!fresh) continue;
    for (std::int64_t c = 0; c < width; ++c) {
      kinds.push_back(value[c] + offset_[static_cast<std::size_t>(c)]);
    }
  }
  return {at::tensor(kinds, at::kLong).view({-1, width}), code};
}

// Table of PathShape: blocks of [2 + U] rows, then the padding from each hop on.
at::Tensor GraphBias::hop_rows(const at::Tensor& kinds, std::int64_t blocks,
                               std::int64_t padded) const {
  const at::Tensor zero = at::zeros({1, edge.size(1)}, edge.options().requires_grad(false));
  const bool v1 = options_.quirk("v1_padding");
  const at::Tensor pad = v1                               ? edge.slice(0, 0, 1).detach()
                         : options_.quirk("port_padding") ? edge.slice(0, 0, 1)
                                                          : zero;
  const at::Tensor jump = options_.quirk("padding_rows") ? edge.slice(0, 1, 2) : zero;
  at::Tensor rows =
      at::cat({pad, jump, at::embedding(edge, kinds.to(edge.device())).mean(1)}).unsqueeze(0);
  if (hop.defined()) rows = at::bmm(rows.expand({blocks, -1, -1}), hop.slice(0, 0, blocks));
  const at::Tensor flat = rows.reshape({-1, edge.size(1)});
  if (padded == 0) return flat;
  const at::Tensor later = at::ones({padded, padded}, flat.options().requires_grad(false)).triu();
  return at::cat({flat, at::matmul(later, rows.select(1, 0).slice(0, 0, padded))});
}

namespace {

// Repeated edges, which stand together, all get the code of one with the largest columns: no order
// of edges changes what a pair of nodes sees.
void settle_repeated(const PairInput& input, std::int64_t width, at::Tensor& code) {
  const std::int64_t count = code.size(0), stride = input.edge.size(1);
  const at::Tensor dense = input.edge.contiguous();
  const auto* value = dense.const_data_ptr<std::int64_t>();
  const auto* source = input.source.const_data_ptr<std::int64_t>();
  const auto* target = input.target.const_data_ptr<std::int64_t>();
  auto* to = code.mutable_data_ptr<std::int64_t>();
  const auto less = [&](std::int64_t a, std::int64_t b) {
    const auto *first = value + a * stride, *second = value + b * stride;
    return std::lexicographical_compare(first, first + width, second, second + width);
  };
  for (std::int64_t begin = 0, end = 0; begin < count; begin = end) {
    std::int64_t most = begin;
    for (end = begin + 1;
         end < count && source[end] == source[begin] && target[end] == target[begin]; ++end) {
      if (less(most, end)) most = end;
    }
    std::fill(to + begin, to + end, to[most]);
  }
}

}  // namespace

at::Tensor GraphBias::pairs(const PairInput& input) {
  auto [kinds, code] = edge_kinds(input.edge);
  settle_repeated(input, static_cast<std::int64_t>(categories_.size()), code);
  PathShape shape;
  shape.single = options_.path == "single_hop";
  shape.token = options_.token;
  shape.codes = 2 + kinds.size(0);
  shape.hops = shape.single ? 1 : options_.hops;
  shape.unreachable = shape.hops;
  if (options_.quirk("v1_padding")) {
    shape.padded = shape.single ? 1 : longest_path(input.hops, shape.hops);
  } else if (options_.quirk("port_padding")) {
    shape.padded = shape.single ? 1 : hop.size(0);
    shape.unreachable = options_.max_distance + 1;
  }
  shape.blocks = std::max(shape.hops, shape.padded);
  const at::Tensor table = hop_rows(kinds, shape.blocks, shape.padded);
  const PairPath path = pair_path(input, code, shape);
  const at::Tensor sum =
      ops::segment_sum(ops::gather(table, ops::row_index(path.row, table.size(0))), path.start);
  // [H, P] in memory, as attention reads it.
  return (sum * path.scale.to(sum.options()).unsqueeze(1)).t().contiguous().t();
}

PairBias GraphBias::forward(const PairInput& input) {
  TORCH_CHECK(input.hops.defined() && input.hops.scalar_type() == at::kByte,
              "[graph_bias] needs the column hop_distance, uint8 [P]");
  PairBias out;
  out.graph_start = options_.token ? token_start(input.graph_start) : input.graph_start;
  out.bias.table = buckets(input, out.graph_start, out.bias);
  if (edge.defined()) out.bias.pair = pairs(input);
  return out;
}

void GraphBias::initialise(base::Random& random) {
  for (const at::Tensor& t : {distance, token, edge, hop}) {
    if (t.defined()) draw_normal(t, kDeviation, random);
  }
}

}  // namespace gtrain::nn
