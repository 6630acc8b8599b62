#include "gtrain/script/encoding.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gtrain/base/error.h"
#include "gtrain/data/batch.h"
#include "gtrain/encode/catalog.h"
#include "gtrain/encode/option_text.h"
#include "support/edge_batch.h"

namespace gtrain::script {
namespace {

using data::Column;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

template <class T>
Column column_of(const std::vector<T>& values) {
  auto filling =
      data::make_column<T>("", data::Per::kNode, static_cast<std::int64_t>(values.size()), 1);
  std::copy(values.begin(), values.end(), filling.data);
  return filling.column;
}

std::vector<support::OddGraph> graphs() {
  auto out = support::odd_graphs();
  for (std::uint64_t seed = 1; seed < 20; ++seed) {
    out.push_back(support::random_graph(seed, 3 + static_cast<std::int64_t>(seed), 0.2));
    out.push_back(support::random_arcs(seed, 9, 20));
  }
  // A batch knows graphs by their nodes.
  std::erase_if(out, [](const support::OddGraph& g) { return g.nodes == 0; });
  return out;
}

data::Dataset dataset_of(const support::EdgeBatch& b) {
  const at::Tensor local =
      b.edges.source - b.graph_start.index_select(0, b.graph.index_select(0, b.edges.target));
  std::vector<std::int32_t> source;
  for (std::int64_t e = 0; e < local.numel(); ++e) {
    source.push_back(static_cast<std::int32_t>(local[e].item<std::int64_t>()));
  }
  const auto numbers = [](const at::Tensor& t) {
    const auto* p = t.const_data_ptr<std::int64_t>();
    return std::vector<std::int64_t>(p, p + t.numel());
  };
  data::Dataset out;
  out.node_start = column_of(numbers(b.graph_start));
  out.row_start = column_of(numbers(b.edges.in_start));
  out.source = column_of(source);
  return out;
}

TEST(ScriptEncoding, IsThatOfADataSetToTheBitForEveryEncoding) {
  const support::EdgeBatch b = support::pack(graphs());
  const data::Dataset dataset = dataset_of(b);
  const at::Tensor edge_index = at::stack({b.edges.source, b.edges.target});
  const at::Tensor shuffled = edge_index.index_select(1, at::randperm(b.edges.count()));
  for (const encode::EncodingEntry& entry : encode::catalog()) {
    const std::string text = "{\"name\":\"" + std::string(entry.name) + "\"}";
    const auto want = encode::compute(dataset, encode::from_json(text));
    const auto got = encoding(shuffled, b.graph, text);
    ASSERT_EQ(got.size(), want.size());
    for (std::size_t c = 0; c < want.size(); ++c) {
      EXPECT_EQ(got[c].sizes(), (std::vector<std::int64_t>{want[c].rows, want[c].width}));
      ASSERT_EQ(static_cast<std::size_t>(got[c].nbytes()), want[c].bytes());
      EXPECT_EQ(std::memcmp(got[c].const_data_ptr(), want[c].data, want[c].bytes()), 0)
          << want[c].name;
    }
  }
}

TEST(ScriptEncoding, OfNothingIsEmpty) {
  const auto out = encoding(at::zeros({2, 0}, at::kLong), at::zeros({0}, at::kLong),
                            R"({"name":"random_walk","steps":3})");
  EXPECT_EQ(out[0].sizes(), (std::vector<std::int64_t>{0, 3}));
}

TEST(ScriptEncoding, RefusesEdgesBetweenGraphsAndOutOfRange) {
  const at::Tensor batch = at::tensor({0, 0, 1}, at::kLong);
  const std::string degree = R"({"name":"degree"})";
  EXPECT_THAT(
      [&] {
        encoding(at::tensor({1, 2}, at::kLong).view({2, 1}), batch, degree);
      },
      ThrowsMessage<base::DataError>(HasSubstr("an edge between graphs 0 and 1")));
  EXPECT_THROW(encoding(at::tensor({1, 3}, at::kLong).view({2, 1}), batch, degree),
               base::DataError);
}

}  // namespace
}  // namespace gtrain::script
