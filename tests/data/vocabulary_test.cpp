#include "gtrain/data/vocabulary.h"

#include <gtest/gtest.h>

namespace gtrain::data {
namespace {

using Words = std::vector<std::string>;

TEST(Vocabulary, SplitsAtBlanksOnly) {
  EXPECT_EQ(words_of("get  the_value "), (Words{"get", "the_value"}));
  EXPECT_TRUE(words_of("  ").empty());
}

TEST(Vocabulary, OrdersWordsOfTheTrainingTextsByFrequencyThenOccurrence) {
  const Words texts{"b a", "a c", "c d e", "z z z z"};
  const Words expected{"a", "c", "b", "__UNK__", "__EOS__"};
  EXPECT_EQ(vocabulary_of(texts, {0, 1, 2}, 3), expected);
  EXPECT_EQ(vocabulary_of(texts, {3}).front(), "z");
}

TEST(Vocabulary, KeepsWordsOutsideApart) {
  const Column labels = token_labels({"a b a", "x", "y x", ""}, {"b", "a", "__UNK__", "__EOS__"});
  ASSERT_EQ(labels.rows, 4);
  ASSERT_EQ(labels.width, 3);
  const std::vector<std::int64_t> expected{1, 0, 1, 4, -1, -1, 5, 4, -1, -1, -1, -1};
  const auto* id = labels.as<std::int64_t>();
  EXPECT_EQ(std::vector<std::int64_t>(id, id + 12), expected);
}

}  // namespace
}  // namespace gtrain::data
