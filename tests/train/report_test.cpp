#include "gtrain/train/report.h"

#include "gtrain/base/error.h"
#include "train/chart.h"
#include "train/sample_run.h"

namespace gtrain::train {
namespace {

using TrainedReport = TrainedSample;

TEST_F(TrainedReport, IsOnePageWithoutExternalResources) {
  run(recipe(), options("a"));
  const std::string page = text_of(root() / "a/report.html");
  for (const char* outside : {"http://", "https://", "src=", "@import", "<link"}) {
    EXPECT_EQ(page.find(outside), std::string::npos) << outside;
  }
  for (const char* wanted : {"best: epoch", "learning rate", "model:", "torch ", "<path"}) {
    EXPECT_NE(page.find(wanted), std::string::npos) << wanted;
  }
}

TEST_F(TrainedReport, SurvivesAHalfWrittenMetricsLine) {
  run(recipe({"train.epochs=2"}), options("a"));
  const auto path = root() / "a/metrics.jsonl";
  write_text(path, text_of(path) + "{\"epoch\":3,\"spl");
  EXPECT_NO_THROW(write_report(root() / "a"));
}

TEST_F(TrainedReport, SkipsLinesOfAnotherKindAndRefusesSuchResults) {
  run(recipe({"train.epochs=2"}), options("a"));
  const auto path = root() / "a/metrics.jsonl";
  write_text(path, text_of(path) + "{\"epoch\":\"x\",\"split\":3}\n[1]\n7\n");
  EXPECT_NO_THROW(write_report(root() / "a"));
  write_text(root() / "a/result.json", "[1]");
  EXPECT_THROW(write_report(root() / "a"), base::DataError);
  write_text(root() / "a/summary.json", "{}");
  EXPECT_NO_THROW(write_report(root() / "a"));
}

TEST_F(TrainedReport, RefusesADirectoryWithoutARun) {
  EXPECT_THROW(write_report(root()), base::DataError);
}

TEST(Chart, TicksAreRoundAndCoverTheRange) {
  const std::vector<double> t = ticks(0.13, 0.97, 5);
  EXPECT_LE(t.front(), 0.13);
  EXPECT_GE(t.back(), 0.97);
  EXPECT_NEAR(t[1] - t[0], 0.2, 1e-12);
  EXPECT_EQ(tick_text(0.2, 0.2), "0.2");
  EXPECT_EQ(tick_text(0.25, 0.05), "0.25");
  EXPECT_EQ(tick_text(1200, 200), "1200");
  EXPECT_EQ(tick_text(2e-5, 1e-5), "2e-05");
}

TEST(Chart, GapsAndConstantCurvesAreDrawn) {
  const Chart chart{"x & y", "epoch", {{"a<b", 0, {{1, 2.0}, {2, std::nan("")}, {3, 2.0}}}}, 0, ""};
  const std::string svg = figure_html(chart);
  EXPECT_NE(svg.find("x &amp; y"), std::string::npos);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_TRUE(figure_html({"empty", "epoch", {{"a", 0, {}}}, 0, ""}).empty());
}

}  // namespace
}  // namespace gtrain::train
