#include "gtrain/encode/degree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "encode/odd_dataset.h"

namespace gtrain::encode {
namespace {

TEST(Degree, CountsArrivalsThenDepartures) {
  std::vector<std::int32_t> out(8);
  degrees(LocalGraph(csr_of(support::directed_path(4))), out);
  EXPECT_THAT(out, testing::ElementsAre(0, 1, 1, 1, 1, 1, 1, 0));
}

TEST(Degree, SelfLoopsAndRepeatsCount) {
  support::OddGraph g = support::self_loop();
  g.arc(0, 1);
  std::vector<std::int32_t> out(6);
  degrees(LocalGraph(csr_of(g)), out);
  EXPECT_THAT(out, testing::ElementsAre(3, 4, 3, 2, 2, 2));
}

}  // namespace
}  // namespace gtrain::encode
