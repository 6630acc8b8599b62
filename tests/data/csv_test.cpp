#include "gtrain/data/csv.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <tbb/global_control.h>

#include <cmath>
#include <cstring>

#include "data/sample.h"

namespace gtrain::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Column parse(const std::string& text, const CsvRules& rules = {}) {
  auto bytes = std::make_unique<char[]>(text.size() + 1);
  std::memcpy(bytes.get(), text.c_str(), text.size() + 1);
  return parse_csv(Text(std::move(bytes), text.size()), "t.csv", rules);
}

std::string error(const std::string& text, const CsvRules& rules = {}) {
  return message_of([&] { parse(text, rules); });
}

TEST(Csv, SmallIntegersBecomeBytes) {
  const Column c = parse("0,255\n7,12\n");
  EXPECT_EQ(c.dtype, DType::kU8);
  EXPECT_EQ(c.width, 2);
  EXPECT_THAT(values_of<int>(c), ElementsAre(0, 255, 7, 12));
}

TEST(Csv, TypeIsThatOfTheWholeFile) {
  EXPECT_EQ(parse("1\n256\n").dtype, DType::kI16);
  EXPECT_EQ(parse("-1\n2\n").dtype, DType::kI8);
  EXPECT_EQ(parse("1\n9000000000\n").dtype, DType::kI64);
  const Column mixed = parse("1,2.5\n3,4\n");
  EXPECT_EQ(mixed.dtype, DType::kF32);
  EXPECT_THAT(values_of<float>(mixed), ElementsAre(1, 2.5, 3, 4));
}

TEST(Csv, RealNumbersAreRoundedOnceFromTheirText) {
  EXPECT_THAT(values_of<float>(parse("0.1\n-3.6161271205\n1e-3\n+2\n.5\n")),
              ElementsAre(0.1F, -3.6161271205F, 1e-3F, 2.0F, 0.5F));
}

TEST(Csv, LastLineMayLackItsEndAndLinesMayEndInCrLf) {
  EXPECT_THAT(values_of<int>(parse("1,2\r\n3,4")), ElementsAre(1, 2, 3, 4));
}

TEST(Csv, EmptyCellsAreMissingWhereAllowed) {
  const Column c = parse("1,,\"\"\n,0.0,nan\n", {.allow_missing = true});
  const auto v = values_of<double>(c);
  EXPECT_EQ(v[0], 1);
  EXPECT_EQ(v[4], 0);
  for (const std::size_t i : {1U, 2U, 3U, 5U}) EXPECT_TRUE(std::isnan(v[i])) << i;
}

TEST(Csv, BlankLineOfAOneColumnFileIsAMissingCell) {
  const auto v = values_of<double>(parse("1\n\n2\n", {.columns = 1, .allow_missing = true}));
  ASSERT_EQ(v.size(), 3U);
  EXPECT_TRUE(std::isnan(v[1]));
}

TEST(Csv, EmptyCellInFeaturesIsRefusedWithItsRow) {
  EXPECT_EQ(error("1,2\n3,\n"), "t.csv (row 2): an empty cell; expected a finite number");
}

TEST(Csv, NanAndInfinityInFeaturesAreRefused) {
  EXPECT_EQ(error("1.5\nnan\n"), "t.csv (row 2): nan; expected a finite number");
  EXPECT_EQ(error("1.5\n2\n-inf\n"), "t.csv (row 3): -inf; expected a finite number");
  EXPECT_EQ(error("1.5\n1e39\n"), "t.csv (row 2): 1e39; expected a finite number");
}

TEST(Csv, RowsThatAreTooLongOrTooShortAreRefused) {
  EXPECT_THAT(error("1,2\n3,4,5\n"), HasSubstr("t.csv (row 2): 3 columns; expected 2"));
  EXPECT_THAT(error("1,2\n3,4\n5\n"), HasSubstr("t.csv (row 3): 1 columns; expected 2"));
  EXPECT_THAT(error("1,2\n\n3,4\n"), HasSubstr("t.csv (row 2): the row is blank"));
}

TEST(Csv, WordsAreRefusedAndAHeaderIsNamedAsThePossibleCause) {
  EXPECT_THAT(error("1\ntwo\n"), HasSubstr("t.csv (row 2): 'two' is not a number"));
  EXPECT_THAT(error("label\n1\n"), HasSubstr("these files carry no header"));
  EXPECT_THAT(error("1\n0x10\n"), HasSubstr("'0x10' is not a number"));
}

TEST(Csv, RealNumberWhereIntegersAreDueIsRefused) {
  EXPECT_EQ(error("1\n2.5\n", {.integers = true}), "t.csv (row 2): 2.5; expected a whole number");
}

TEST(Csv, EmptyFileHasNoRows) {
  EXPECT_EQ(parse("", {.columns = 2}).rows, 0);
  EXPECT_EQ(parse("", {.columns = 2}).width, 2);
}

TEST(Csv, FirstOfSeveralMistakesIsReportedWhateverTheThreads) {
  std::string text;
  for (int i = 0; i < 400000; ++i) text += i == 150000 || i == 300000 ? "x,1\n" : "12,34\n";
  for (const std::size_t threads : {1U, 4U}) {
    const tbb::global_control control(tbb::global_control::max_allowed_parallelism, threads);
    EXPECT_THAT(error(text), HasSubstr("(row 150001)"));
  }
}

TEST(Csv, ChunksJoinInOrderAcrossTypes) {
  std::string text;
  for (int i = 0; i < 300000; ++i) text += fmt::format("{},{}\n", i % 7, i < 299999 ? i % 251 : -5);
  const Column c = parse(text);
  EXPECT_EQ(c.dtype, DType::kI16);
  ASSERT_EQ(c.rows, 300000);
  const auto* v = c.as<std::int16_t>();
  for (int i = 0; i < 299999; ++i) {
    ASSERT_EQ(v[2 * i], i % 7);
    ASSERT_EQ(v[2 * i + 1], i % 251);
  }
  EXPECT_EQ(v[599999], -5);
}

}  // namespace
}  // namespace gtrain::data
