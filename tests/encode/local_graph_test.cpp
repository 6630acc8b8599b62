#include "gtrain/encode/local_graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "encode/odd_dataset.h"

namespace gtrain::encode {
namespace {

TEST(LocalGraph, EveryGraphOfADataSetReadsAsItsOwnCsr) {
  const std::vector<support::OddGraph> graphs = support::odd_graphs();
  const data::Dataset dataset = dataset_of(graphs);
  LocalGraph local;
  for (std::size_t g = 0; g < graphs.size(); ++g) {
    SCOPED_TRACE(graphs[g].name);
    local.assign(dataset, static_cast<std::int64_t>(g));
    const graph::Csr csr = csr_of(graphs[g]);
    EXPECT_EQ(local.nodes(), csr.nodes());
    EXPECT_EQ(local.csr().start, csr.start);
    EXPECT_EQ(local.csr().source, csr.source);
  }
}

TEST(LocalGraph, OutDegreesCountOccurrencesAsSource) {
  const LocalGraph local(csr_of(support::self_loop()));
  EXPECT_THAT(local.out_degrees(), testing::ElementsAre(3, 2, 2));
}

}  // namespace
}  // namespace gtrain::encode
