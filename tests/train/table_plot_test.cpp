#include "train/table_plot.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

namespace gtrain::train {
namespace {

using testing::HasSubstr;
using testing::Not;

RowFigures row(const std::string& label, double mean, double sparse) {
  RowFigures out;
  out.label = label;
  out.data = "rings";
  out.metric = "acc";
  out.spread = {mean, 0.01, 3};
  out.flops = 1e7;
  out.sparse_flops = sparse;
  out.epoch_seconds = 2;
  out.wanted = 3;
  return out;
}

FilledTable grid() {
  FilledTable table{"Grid", "test", {row("gps", 0.8, kUnknown)}, {}};
  for (const auto& [label, mean, sparse] : {std::tuple{"gps, tokens 0.75", 0.79, 9e6},
                                            {"gps, tokens 0.25", 0.76, 6e6},
                                            {"gps, all", 0.75, 3e6}}) {
    RowFigures one = row(label, mean, sparse);
    one.paired = PairedFigure{"gps", mean - 0.8, -0.1, 0.05, 0.04, 3};
    InferenceFigures time;
    time.graphs = 100;
    time.seconds = 4e-5;
    time.pruned_seconds = 2.5e-5;
    time.against_seconds = 5e-5;
    one.inference = time;
    table.rows.push_back(one);
  }
  table.rows[3].inference->pruned_seconds.reset();
  table.rows[3].inference->not_pruned = "nothing to cut";
  table.rows.push_back(row("another", 0.5, kUnknown));
  return table;
}

TEST(TablePlot, ShowsRowsBesideTheOneTheyAreComparedWith) {
  const auto plots = plots_of(grid());
  ASSERT_EQ(plots.size(), 1u) << "nothing is paired with the other dense row";
  ASSERT_EQ(plots[0].size(), 3u);
  const Scatter& flops = plots[0][0];
  ASSERT_EQ(flops.series.size(), 2u);
  EXPECT_EQ(flops.series[0].name, "tokens");
  ASSERT_EQ(flops.series[0].points.size(), 2u);
  EXPECT_DOUBLE_EQ(flops.series[0].points[1].x, 6);
  EXPECT_EQ(flops.series[1].name, "all");
  EXPECT_DOUBLE_EQ(flops.reference->x, 10) << "dense: what the model costs";
  const Scatter& inference = plots[0][1];
  EXPECT_DOUBLE_EQ(inference.series[0].points[0].x, 50) << "pruned";
  EXPECT_DOUBLE_EQ(inference.series[1].points[0].x, 80) << "cannot be pruned";
  EXPECT_DOUBLE_EQ(inference.reference->x, 100);
}

TEST(TablePlot, IsASvgFileAndAPartOfThePage) {
  const std::string svg = table_text(grid(), "svg");
  EXPECT_THAT(svg, testing::StartsWith("<svg xmlns='http://www.w3.org/2000/svg'"));
  EXPECT_THAT(svg, HasSubstr("gps, tokens 0.25: 0.76 ± 0.01 at 6"));
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_THAT(table_text(grid(), "html"), HasSubstr("<figure><svg x='0'"));
  const FilledTable none{"None", "test", {row("gps", 0.8, kUnknown)}, {}};
  EXPECT_THAT(table_text(none, "html"), Not(HasSubstr("<figure>")));
  EXPECT_THAT(table_text(none, "svg"), HasSubstr("</svg>"));
}

TEST(TableText, HasColumnsOfSparsityWhereThereIsSome) {
  const std::string md = table_text(grid(), "md");
  EXPECT_THAT(md,
              HasSubstr("| MFLOPs/graph | made sparse | µs/graph | pruned | worse by at most |"));
  EXPECT_THAT(md, HasSubstr("| 10 | 9 (90 %) | 40 (1.25×) | 25 (2.00×) | +0.0400 |"));
  EXPECT_THAT(md, HasSubstr("| 10 | 3 (30 %) | 40 (1.25×) | – | +0.0400 |"));
  EXPECT_THAT(md, HasSubstr("- Not pruned: gps, all: nothing to cut"));
  const FilledTable dense{"None", "test", {row("gps", 0.8, kUnknown)}, {}};
  EXPECT_THAT(table_text(dense, "md"), HasSubstr("| MFLOPs/graph |\n"));
  const auto json = nlohmann::json::parse(table_text(grid(), "json"))["rows"];
  EXPECT_EQ(json[1]["paired"]["worse_at_most"], 0.04);
  EXPECT_EQ(json[1]["sparse_flops_per_graph"], 9e6);
  EXPECT_EQ(json[1]["inference"]["pruned"]["seconds_per_graph"], 2.5e-5);
  EXPECT_EQ(json[3]["inference"]["not_pruned"], "nothing to cut");
  EXPECT_FALSE(json[0].contains("inference"));
  EXPECT_THAT(table_text(grid(), "csv"), HasSubstr(",0.04,10000000,9000000,4e-05,2.5e-05,5e-05\n"));
}

TEST(Scatter, SurvivesOnePointAndUnknownFigures) {
  Scatter one{"a <b>", "x", "y", {{"s", {{1, 0.5, 0, "p"}, {kUnknown, 1, 0, "q"}}}}, {}};
  const std::string svg = scatter_svg(one);
  EXPECT_THAT(svg, HasSubstr("a &lt;b&gt;"));
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  one.series.clear();
  EXPECT_EQ(scatter_svg(one), "");
}

}  // namespace
}  // namespace gtrain::train
