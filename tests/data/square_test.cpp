#include "gtrain/data/square.h"

#include <gmock/gmock.h>

#include "data/sample.h"

namespace gtrain::data {
namespace {

// Only the node counts matter here.
Dataset of_sizes(const std::vector<std::int64_t>& sizes) {
  auto start = make_column<std::int64_t>("node_start", Per::kGraph,
                                         static_cast<std::int64_t>(sizes.size()) + 1, 1);
  for (std::size_t g = 0; g < sizes.size(); ++g) start.data[g + 1] = start.data[g] + sizes[g];
  Dataset d;
  d.info.name = "squares";
  d.node_start = start.column;
  return d;
}

TEST(SquareStarts, AreRunningSumsOfSquares) {
  EXPECT_THAT(square_starts(of_sizes({3, 0, 1, 2})), testing::ElementsAre(0, 9, 9, 10, 14));
}

TEST(SquareStarts, SumsBeyond64BitsAreRefused) {
  constexpr std::int64_t kLarge = 2'147'483'647;  // most nodes of a graph
  EXPECT_EQ(square_starts(of_sizes({kLarge, kLarge})).back(), 2 * kLarge * kLarge);
  EXPECT_THAT(message_of([] {
                square_starts(of_sizes({kLarge, kLarge, kLarge}));
              }),
              testing::HasSubstr("squares: the pairs of nodes up to graph 2"));
  EXPECT_THROW(square_starts(of_sizes({std::int64_t{1} << 40})), base::DataError);
}

}  // namespace
}  // namespace gtrain::data
