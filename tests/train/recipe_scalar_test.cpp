#include "gtrain/train/recipe_scalar.h"

#include <gtest/gtest.h>

#include <bit>
#include <limits>

#include "gtrain/base/random.h"

namespace gtrain::train {
namespace {

RecipeNode plain(const std::string& text) {
  RecipeNode node;
  node.kind = RecipeNode::Kind::kScalar;
  node.text = text;
  return node;
}

RecipeNode quoted(const std::string& text) {
  RecipeNode node = plain(text);
  node.quoted = true;
  return node;
}

TEST(ScanInteger, TakesDecimalDigitsOfTheWholeRange) {
  EXPECT_EQ(scan_integer(plain("0")).value, 0);
  EXPECT_EQ(scan_integer(plain("-17")).value, -17);
  EXPECT_EQ(scan_integer(plain("9223372036854775807")).value,
            std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(scan_integer(plain("-9223372036854775808")).value,
            std::numeric_limits<std::int64_t>::min());
}

TEST(ScanInteger, RefusesEveryOtherNotation) {
  for (const char* bad : {"010", "0x10", "0o7", "+1", "1_000", "1e3", "16.0", "yes", "", "-", "1 2",
                          "9223372036854775808", "١"}) {
    EXPECT_FALSE(scan_integer(plain(bad)).problem.empty()) << bad;
  }
  EXPECT_EQ(scan_integer(plain("010")).problem,
            "expected an integer, got 010 (leading zeros are ambiguous; write 10)");
  EXPECT_EQ(scan_integer(quoted("16")).problem,
            "expected an integer, got \"16\" (write it without quotes)");
}

TEST(ScanNumber, TakesFractionsAndExponents) {
  EXPECT_EQ(scan_number(plain("1e3")).value, 1000.0);
  EXPECT_EQ(scan_number(plain("-0.5")).value, -0.5);
  EXPECT_EQ(scan_number(plain("2.5E-2")).value, 0.025);
  EXPECT_EQ(scan_number(plain(".5")).value, 0.5);
  EXPECT_EQ(scan_number(plain("3")).value, 3.0);
}

TEST(ScanNumber, RefusesWhatIsNotFiniteOrNotANumber) {
  for (const char* bad : {".inf", "-.inf", ".nan", "nan", "1e999", "1e", "e3", ".", "1.2.3",
                          "0x1p3", "01.5", "1e-999", "one", "yes", "--1"}) {
    EXPECT_FALSE(scan_number(plain(bad)).problem.empty()) << bad;
  }
  EXPECT_FALSE(scan_number(quoted("1.5")).problem.empty());
}

TEST(ScanBool, TakesOnlyTrueAndFalse) {
  EXPECT_TRUE(scan_bool(plain("true")).value);
  EXPECT_EQ(scan_bool(plain("false")).problem, "");
  for (const char* bad : {"yes", "no", "on", "True", "1", ""}) {
    EXPECT_FALSE(scan_bool(plain(bad)).problem.empty()) << bad;
  }
  EXPECT_FALSE(scan_bool(quoted("true")).problem.empty());
}

TEST(ScanIntegers, ReadsRangesWithBothEnds) {
  EXPECT_EQ(scan_integers(plain("2..4")).value, (std::vector<std::int64_t>{2, 3, 4}));
  EXPECT_EQ(scan_integers(plain("-1..0")).value, (std::vector<std::int64_t>{-1, 0}));
  EXPECT_EQ(scan_integers(plain("7")).value, (std::vector<std::int64_t>{7}));
  for (const char* bad : {"4..2", "0..", "..3", "0...3", "0..20000", "a..b",
                          "-9223372036854775808..9223372036854775807"}) {
    EXPECT_FALSE(scan_integers(plain(bad)).problem.empty()) << bad;
  }
}

TEST(PrintNumber, ReadsBackEqualForAnyBits) {
  base::Random random(7);
  for (int i = 0; i < 20000; ++i) {
    const double value = std::bit_cast<double>(random.bits());
    if (!(value - value == 0)) continue;  // not finite
    if (std::abs(value) < std::numeric_limits<double>::min()) continue;
    const Scanned<double> back = scan_number(plain(print_number(value)));
    ASSERT_EQ(back.problem, "") << print_number(value);
    ASSERT_EQ(std::bit_cast<std::uint64_t>(back.value), std::bit_cast<std::uint64_t>(value));
  }
}

TEST(PrintNumber, IsShort) {
  EXPECT_EQ(print_number(0.1), "0.1");
  EXPECT_EQ(print_number(0.0005), "0.0005");
  EXPECT_EQ(print_number(1e-5), "1e-05");
  EXPECT_EQ(print_number(1e9), "1000000000");
  EXPECT_EQ(print_number(0), "0");
}

TEST(PrintText, QuotesWhatYamlWouldReadAsSomethingElse) {
  EXPECT_EQ(print_text("random_walk"), "random_walk");
  EXPECT_EQ(print_text("a/b-c.h5"), "a/b-c.h5");
  EXPECT_EQ(print_text(""), "\"\"");
  for (const char* text : {"yes", "NO", "null", "12", "a b", "a: b", "-x", "#x", "*x", "0..9"}) {
    EXPECT_EQ(print_text(text).front(), '"') << text;
  }
}

TEST(PrintText, ReadsBackEqualForAnyAscii) {
  base::Random random(11);
  for (int i = 0; i < 2000; ++i) {
    std::string text;
    for (std::uint64_t n = random.below(12); n > 0; --n) {
      text += static_cast<char>(1 + random.below(126));
    }
    Problems problems("t");
    const RecipeNode root = parse_tree("{k: " + print_text(text) + "}", -1, problems);
    ASSERT_TRUE(problems.empty()) << problems.text();
    ASSERT_EQ(root.find("k")->value.text, text);
  }
}

}  // namespace
}  // namespace gtrain::train
