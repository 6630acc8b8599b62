#include "gtrain/train/recipe_suggestion.h"

#include <gtest/gtest.h>

namespace gtrain::train {
namespace {

const std::vector<std::string_view> kKeys = {"width", "layers", "heads", "dropout",
                                             "attention_dropout"};

TEST(EditDistance, CountsInsertionsDeletionsReplacementsAndSwaps) {
  EXPECT_EQ(edit_distance("", "abc"), 3U);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3U);
  EXPECT_EQ(edit_distance("widht", "width"), 1U);
  EXPECT_EQ(edit_distance("Width", "width"), 0U);
}

TEST(Nearest, FindsSwappedLettersAndPrefixes) {
  EXPECT_EQ(nearest("widht", kKeys), "width");
  EXPECT_EQ(nearest("attention", kKeys), "attention_dropout");
  EXPECT_EQ(nearest("head", kKeys), "heads");
}

TEST(Nearest, SuggestsNothingForAnUnrelatedWord) {
  EXPECT_EQ(nearest("zebra", kKeys), "");
  EXPECT_EQ(nearest("x", kKeys), "");
  EXPECT_EQ(nearest("", kKeys), "");
  EXPECT_EQ(did_you_mean("zebra", kKeys), "");
}

TEST(Nearest, StaysFastOnVeryLongWords) {
  EXPECT_EQ(nearest(std::string(1 << 20, 'w'), kKeys), "");
}

TEST(Joined, LeavesOutEmptyNames) { EXPECT_EQ(joined({"", "l1", "l2"}), "l1, l2"); }

}  // namespace
}  // namespace gtrain::train
