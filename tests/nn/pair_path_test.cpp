#include "gtrain/nn/pair_path.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace gtrain::nn {
namespace {

// The path 0 - 1 - 2, codes 2 to 5 for its edges 1->0, 0->1, 2->1, 1->2.
PairInput path3() {
  PairInput in;
  in.graph_start = at::tensor({0, 3}, at::kLong);
  in.hops = at::tensor({0, 1, 2, 1, 0, 1, 2, 1, 0}, at::kByte);
  in.inner = at::tensor({-1, -1, 1, -1, -1, -1, 1, -1, -1}, at::kLong);
  in.source = at::tensor({1, 0, 2, 1}, at::kLong);
  in.target = at::tensor({0, 1, 1, 2}, at::kLong);
  return in;
}

at::Tensor codes() { return at::tensor({2, 3, 4, 5}, at::kLong); }

std::vector<std::int64_t> rows(const PairPath& path, std::int64_t pair) {
  const at::Tensor part = path.row.slice(0, path.start[pair].item<std::int64_t>(),
                                         path.start[pair + 1].item<std::int64_t>());
  const std::int64_t* p = part.const_data_ptr<std::int64_t>();
  return {p, p + part.numel()};
}

TEST(PairPath, ListsTheEdgesOfAPathHopByHop) {
  const PathShape shape{.hops = 2, .blocks = 2, .codes = 6};
  const PairPath path = pair_path(path3(), codes(), shape);
  EXPECT_EQ(rows(path, 2), (std::vector<std::int64_t>{3, 6 + 5}));  // 0 -> 1 -> 2
  EXPECT_EQ(rows(path, 6), (std::vector<std::int64_t>{4, 6 + 2}));  // 2 -> 1 -> 0
  EXPECT_TRUE(rows(path, 0).empty());
  EXPECT_EQ(path.scale[2].item<double>(), 0.5);
}

TEST(PairPath, CutsPathsPadsThemAndLeavesTheTokenOut) {
  const PathShape shape{.hops = 1, .blocks = 2, .codes = 6, .padded = 2, .token = true};
  const PairPath path = pair_path(path3(), codes(), shape);
  ASSERT_EQ(path.start.numel(), 17);
  EXPECT_TRUE(rows(path, 0).empty());
  EXPECT_EQ(rows(path, 4 + 3), (std::vector<std::int64_t>{3, 12 + 1}));  // first hop, then padding
  EXPECT_EQ(rows(path, 4 + 1), (std::vector<std::int64_t>{12}));         // all padding
}

TEST(PairPath, OfASingleHopIsTheEdgeBetweenBothNodes) {
  PairInput in = path3();
  in.inner = at::Tensor();
  const PairPath path = pair_path(in, codes(), {.codes = 6, .single = true});
  EXPECT_EQ(rows(path, 1), (std::vector<std::int64_t>{3}));
  EXPECT_TRUE(rows(path, 2).empty());
}

TEST(PairPath, RefusesInnerNodesThatLeadInACircle) {
  PairInput in = path3();
  in.inner = at::ones({9}, at::kLong);
  EXPECT_THROW(pair_path(in, codes(), {.hops = 9, .blocks = 9, .codes = 6}), c10::Error);
}

TEST(PairPath, LongestIsCappedAndFullWhereAPairIsOutOfReach) {
  EXPECT_EQ(longest_path(at::tensor({0, 7, 2}, at::kByte), 5), 5);
  EXPECT_EQ(longest_path(at::tensor({0, 3, 2}, at::kByte), 5), 3);
  EXPECT_EQ(longest_path(at::tensor({0, 255}, at::kByte), 5), 5);
}

}  // namespace
}  // namespace gtrain::nn
