#include "gtrain/train/likeness.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "gtrain/base/error.h"
#include "gtrain/encode/encoding.h"
#include "support/temporary_directory.h"

namespace gtrain::train {
namespace {

// Only what comes with gtrain is at hand.
class Likely : public ::testing::Test {
 protected:
  Likely() {
    ::setenv("GTRAIN_CACHE", (directory_.path() / "cache").c_str(), 1);
    ::setenv("HOME", directory_.path().c_str(), 1);
    ::unsetenv("GTRAIN_DATA");
  }

  data::DatasetOptions named(const std::string& name) const {
    data::DatasetOptions options;
    options.name = name;
    return options;
  }

  test::TemporaryDirectory directory_;
};

TEST_F(Likely, DataThatAreHereAreOpened) {
  EXPECT_TRUE(at_hand(named("freesolv")));
  const Likeness found = open_or_generate(named("freesolv"));
  EXPECT_FALSE(found.generated);
  EXPECT_EQ(found.opened.dataset.graphs(), 642);
}

TEST_F(Likely, AbsentDataAreGeneratedFromTheirCard) {
  EXPECT_FALSE(at_hand(named("zinc")));
  const Likeness made = open_or_generate(named("zinc"));
  EXPECT_TRUE(made.generated);
  EXPECT_EQ(made.opened.dataset.info.node_categories, (std::vector<std::int64_t>{28}));
  EXPECT_TRUE(made.opened.store.empty());
  EXPECT_EQ(made.graphs, 12000);
  data::DatasetOptions wide = named("zinc");
  wide.batch_size = 100;
  EXPECT_GE(open_or_generate(wide, Extent::kFullBatches).opened.dataset.graphs(), 167);
}

TEST_F(Likely, EncodingsOfGeneratedDataAreComputedAndNotKept) {
  const Likeness made = open_or_generate(named("zinc"));
  const auto columns =
      encode::load_or_compute(made.opened.dataset, made.opened.store, encode::RandomWalkOptions{});
  ASSERT_EQ(columns.size(), 1u);
  EXPECT_EQ(columns[0].rows, made.opened.dataset.nodes());
  EXPECT_FALSE(std::filesystem::exists(directory_.path() / "cache"));
}

TEST_F(Likely, APathThatLeadsNowhereIsAMistake) {
  data::DatasetOptions options = named("zinc");
  options.path = (directory_.path() / "nowhere").string();
  EXPECT_THROW(open_or_generate(options), base::DataError);
  EXPECT_THROW(open_or_generate(named("nosuch")), base::RecipeError);
}

}  // namespace
}  // namespace gtrain::train
