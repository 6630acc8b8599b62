#include "gtrain/encode/weisfeiler_lehman.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "encode/odd_dataset.h"

namespace gtrain::encode {
namespace {

using testing::Each;
using testing::ElementsAre;

std::vector<std::int32_t> roles(const support::OddGraph& g, std::int64_t rounds,
                                std::vector<std::string> quirks = {}) {
  std::vector<std::int32_t> out(static_cast<std::size_t>(g.nodes));
  weisfeiler_lehman(LocalGraph(csr_of(g)), {rounds, std::move(quirks)}, out);
  return out;
}

TEST(WeisfeilerLehman, TellsTheNodesOfAPathApartByTheirDistanceToTheEnds) {
  EXPECT_THAT(roles(support::path(6), 1), ElementsAre(0, 1, 1, 1, 1, 0));
  EXPECT_THAT(roles(support::path(6), 2), ElementsAre(0, 1, 2, 2, 1, 0));
  EXPECT_THAT(roles(support::path(6), 9), ElementsAre(0, 1, 2, 2, 1, 0));
}

TEST(WeisfeilerLehman, SeesNoDifferenceInRegularGraphsOrWithoutEdges) {
  EXPECT_THAT(roles(support::cycle(5), 3), Each(0));
  EXPECT_THAT(roles(support::edgeless(4), 3), Each(0));
  EXPECT_TRUE(roles(support::edgeless(0), 2).empty());
}

TEST(WeisfeilerLehman, ReadsEdgesBothWaysAndRepeatsOnce) {
  support::OddGraph g = support::directed_path(4);
  g.arc(0, 1);
  EXPECT_THAT(roles(g, 1), ElementsAre(0, 1, 1, 0));
}

// The numbers are those of Python's hashlib.
TEST(WeisfeilerLehman, RanksByHashAsTheAuthorsDoWhereAsked) {
  support::OddGraph g = support::path(4);
  g.nodes = 5;
  g.edge(1, 4);
  EXPECT_THAT(roles(g, 1, {"md5_rank"}), ElementsAre(2, 1, 0, 2, 2));
  EXPECT_THAT(roles(g, 3, {"md5_rank"}), ElementsAre(3, 0, 2, 1, 3));
  support::OddGraph wheel = support::star(14);
  wheel.edge(1, 2);
  wheel.edge(3, 4);
  wheel.edge(4, 5);
  EXPECT_THAT(roles(wheel, 3, {"md5_rank"}), ElementsAre(2, 3, 3, 0, 1, 0, 4, 4, 4, 4, 4, 4, 4, 4));
}

// Texts of 53 to 121 bytes: the length of an MD5 message stands at the end of its last block.
TEST(WeisfeilerLehman, HashesTextsOfAnyLength) {
  support::OddGraph g = support::edgeless(0);
  std::vector<std::size_t> hubs;
  for (const std::int64_t degree : {26, 27, 28, 39, 40, 41, 58, 59, 60}) {
    hubs.push_back(static_cast<std::size_t>(g.nodes));
    for (std::int64_t i = 1; i <= degree; ++i) g.edge(g.nodes, g.nodes + i);
    g.nodes += degree + 1;
  }
  const auto all = roles(g, 1, {"md5_rank"});
  std::vector<std::int32_t> of_hubs;
  for (const std::size_t hub : hubs) of_hubs.push_back(all[hub]);
  EXPECT_THAT(of_hubs, ElementsAre(3, 4, 2, 1, 0, 7, 6, 9, 5));
}

}  // namespace
}  // namespace gtrain::encode
