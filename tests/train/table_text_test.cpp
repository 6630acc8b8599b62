#include "train/table_text.h"

#include <gmock/gmock.h>

#include <cmath>
#include <nlohmann/json.hpp>

namespace gtrain::train {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

TEST(Spread, IsPrintedToTwoDigitsOfTheDeviation) {
  EXPECT_EQ(spread_text({0.12344, 0.0045, 3}), "0.1234 ± 0.0045");
  EXPECT_EQ(spread_text({12.344, 1.2, 3}), "12.3 ± 1.2");
  EXPECT_EQ(spread_text({0.5, 0.0, 3}), "0.5000 ± 0.0000");
  EXPECT_EQ(spread_text({0.07, kUnknown, 1}), "0.07000");
  EXPECT_EQ(spread_text({}), "–");
}

FilledTable odd_table() {
  RowFigures row;
  row.label = "a|b_1 <x>, \"y\"";
  row.data = "rings";
  row.metric = "mae";
  row.spread = {0.25, 0.01, 2};
  row.wanted = 3;
  row.values = {0.24, 0.26};
  row.failed = {"seed-2: diverged & lost"};
  row.published = PublishedFigure{{0.2, 0.1, 4}, 100, "Someone 2020", true};
  row.parameters = 123;
  row.distance = distance(row.spread, row.published->spread);
  return {"Odd", "test", {row}, {}};
}

TEST(TableText, EveryFormatEscapesItsOwnSigns) {
  const std::string md = table_text(odd_table(), "md");
  EXPECT_THAT(md, HasSubstr("| a\\|b_1 &lt;x>, \"y\" | rings | mae | 0.250 ± 0.010 | 2 of 3 |"));
  EXPECT_THAT(md, HasSubstr("0.2 ± 0.1 (4) † [1] | no, +1.0 SE | 123 (published 100) |"));
  EXPECT_THAT(md,
              HasSubstr("- Failed, not counted: a\\|b_1 &lt;x>, \"y\": seed-2: diverged & lost"));
  EXPECT_THAT(md, HasSubstr("- [1] Someone 2020"));
  EXPECT_THAT(table_text(odd_table(), "html"), HasSubstr("<td>a|b_1 &lt;x&gt;, \"y\"</td>"));
  const std::string latex = table_text(odd_table(), "latex");
  EXPECT_THAT(latex, HasSubstr("a|b\\_1 <x>, \"y\" & rings & mae & 0.250 $\\pm$ 0.010 & 2 of 3"));
  EXPECT_THAT(latex, HasSubstr("diverged \\& lost"));
  EXPECT_THAT(table_text(odd_table(), "csv"),
              HasSubstr("\n\"a|b_1 <x>, \"\"y\"\"\",rings,mae,0.25,0.01,2,3,1,0.2,0.1,4,"));
}

TEST(TableText, NumbersThatAreNotKnownAreNoneAndNull) {
  FilledTable table{"Empty", "test", {RowFigures{}}, {}};
  EXPECT_THAT(table_text(table, "md"), Not(HasSubstr("nan")));
  EXPECT_THAT(table_text(table, "csv"), Not(HasSubstr("nan")));
  EXPECT_TRUE(json::parse(table_text(table, "json"))["rows"][0]["mean"].is_null());
}

}  // namespace
}  // namespace gtrain::train
