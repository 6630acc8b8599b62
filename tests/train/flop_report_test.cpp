#include "train/flop_report.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "gtrain/sparsify/branch_drop.h"
#include "gtrain/sparsify/compact.h"
#include "gtrain/sparsify/plan.h"
#include "gtrain/sparsify/sparsity.h"
#include "models/zoo_case.h"
#include "train/spread.h"

namespace gtrain::train {
namespace {

using models::zoo_case::Specimen;

FlopReport report_of(models::Model& model, const std::vector<Specimen>& graphs) {
  const at::NoGradGuard no_grad;
  model.eval();
  const data::GraphBatch batch = models::zoo_case::packed(graphs);
  const FlopMeter meter(model);
  nn::Context context;
  model.forward(batch, context);
  return meter.report(batch.graphs);
}

Specimen random_specimen(std::uint64_t seed) {
  return models::zoo_case::specimen(support::random_graph(seed, 12, 0.3), seed);
}

TEST(FlopReport, CountsGraphsFromAllOverASplit) {
  using Ids = std::vector<std::int64_t>;
  EXPECT_EQ(spread({5, 6, 7, 8, 9, 10}, 3), (Ids{5, 7, 9}));
  EXPECT_EQ(spread({5, 6, 7, 8, 9, 10, 11}, 3), (Ids{5, 7, 9}));
  EXPECT_EQ(spread({5, 6, 7, 8}, 3), (Ids{5, 6, 7}));
  EXPECT_EQ(spread({3, 1, 2}, 4), (Ids{3, 1, 2}));
  EXPECT_EQ(spread({}, 4), Ids());
}

TEST(FlopReport, KnowsEveryOperatorAndLayerOfTheZoo) {
  for (const auto& c : models::zoo_case::cases()) {
    SCOPED_TRACE(c.name);
    const auto model = models::zoo_case::model(c);
    const FlopReport report = report_of(*model, {random_specimen(1), random_specimen(2)});
    EXPECT_EQ(report.unknown, std::set<std::string>());
    EXPECT_GT(report.total().of[0], 0);
    EXPECT_EQ(report.total().zeros, 0);
    const auto nobody = report.modules.find("");
    const double unnamed = nobody == report.modules.end() ? 0 : nobody->second.total();
    EXPECT_LT(unnamed, 0.05 * report.total().total());
  }
}

// What a batch costs is what its graphs cost one by one, but for what is made of weights alone once
// a batch: tables of a bias, GAT's vectors, SAN's vector of other pairs.
TEST(FlopReport, IsASumOverGraphs) {
  for (const auto& c : models::zoo_case::cases()) {
    SCOPED_TRACE(c.name);
    const auto model = models::zoo_case::model(c);
    const Specimen a = random_specimen(1), b = random_specimen(2);
    const double alone =
        report_of(*model, {a}).total().total() + report_of(*model, {b}).total().total();
    const double together = 2 * report_of(*model, {a, b}).total().total();
    const bool once =
        std::set<std::string>{"gps_biased", "gps_gat", "graphormer", "graphormer_post_norm", "san"}
            .contains(c.name);
    EXPECT_LE(together, alone * (1 + 1e-12));
    EXPECT_GE(together, alone * (1 - (once ? 0.02 : 1e-12)));
  }
}

TEST(FlopReport, TakesOffWhatDeadHeadsCost) {
  for (const char* name : {"gps", "gps_performer", "gt", "san", "graphormer", "graphtrans"}) {
    SCOPED_TRACE(name);
    const auto cases = models::zoo_case::cases();
    const auto c =
        std::find_if(cases.begin(), cases.end(), [&](auto& one) { return one.name == name; });
    ASSERT_NE(c, cases.end());
    const auto dense = models::zoo_case::model(*c), masked = models::zoo_case::model(*c);
    sparsify::Options options;
    options.rules.emplace_back(sparsify::HeadRule());
    sparsify::timing_of(options.rules[0]).keep = 0.5;
    sparsify::attach(*masked, options);
    sparsify::Sparsity(*masked, options, {}).begin(0);
    masked->to(at::kDouble);
    const std::vector<Specimen> graphs{random_specimen(1)};
    const FlopReport before = report_of(*dense, graphs), after = report_of(*masked, graphs);
    const double attention = before.total().of[1];
    EXPECT_EQ(after.total().of[1], attention);
    EXPECT_GT(after.total().zeros, attention / 2);
    EXPECT_LT(after.total().sparse(), before.total().total() - attention / 2);
    sparsify::compact(*masked);
    const double left = report_of(*masked, graphs).total().total();
    EXPECT_NEAR(after.total().sparse(), left, 0.01 * left);
  }
}

// Neither its projections nor its pairs.
TEST(FlopReport, AClosedAttentionOfAnyModelCostsNothing) {
  for (const auto& c : models::zoo_case::cases()) {
    const auto model = models::zoo_case::model(c);
    const std::vector<sparsify::Site> sites = sparsify::sites(*model);
    if (sites.empty()) continue;
    SCOPED_TRACE(c.name);
    const std::vector<Specimen> graphs{random_specimen(1)};
    FlopReport before = report_of(*model, graphs);
    const auto gate = std::make_shared<sparsify::BranchConcrete>();
    gate->settle(at::zeros({1}));
    sites[0].gated->branch_gate = gate;
    FlopReport after = report_of(*model, graphs);
    std::set<std::string> modules{sites[0].path};
    for (const auto& slices : sites[0].gated->head_slices()) {
      const std::string name = sites[0].path + "." + slices.name;
      modules.insert(name.substr(0, name.rfind('.')));
    }
    double was = 0, is = 0;
    for (const std::string& module : modules) {
      for (const int work : {0, 1}) {  // products, attention
        was += before.modules[module].of[static_cast<std::size_t>(work)];
        is += after.modules[module].of[static_cast<std::size_t>(work)];
      }
    }
    EXPECT_GT(was, 0);
    EXPECT_EQ(is, 0);
  }
}

TEST(FlopReport, CountsTheNodesThatTakePart) {
  const auto cases = models::zoo_case::cases();
  const auto model = models::zoo_case::model(cases.front());
  const std::vector<Specimen> graphs{random_specimen(1)};
  const double dense = report_of(*model, graphs).total().of[1];
  sparsify::Options options;
  options.rules.emplace_back(sparsify::TokenRule());
  sparsify::timing_of(options.rules[0]).keep = 0.5;
  sparsify::attach(*model, options);
  sparsify::Sparsity(*model, options, {}).begin(0);
  model->to(at::kDouble);
  EXPECT_EQ(report_of(*model, graphs).total().of[1], dense / 4);  // 6 of 12 nodes
}

TEST(FlopReport, TakesZerosOfWeightsOff) {
  const auto cases = models::zoo_case::cases();
  const auto model = models::zoo_case::model(cases.front());
  const std::vector<Specimen> graphs{random_specimen(1)};
  const ops::Flops dense = report_of(*model, graphs).total();
  const at::NoGradGuard no_grad;
  at::Tensor weight = model->named_parameters()["layer_0.feed_0.weight"];
  weight.slice(0, 0, weight.size(0) / 2).zero_();
  const ops::Flops sparse = report_of(*model, graphs).total();
  EXPECT_EQ(sparse.total(), dense.total());
  EXPECT_EQ(sparse.zeros, 12 * static_cast<double>(weight.numel()));
}

TEST(FlopReport, PutsLayersOfOneKindIntoARow) {
  FlopReport report;
  for (const char* module : {"layer_0.attention", "layer_1.attention", "layer_1.feed_0", "head"}) {
    report.modules[module].of[0] = 10;
  }
  report.modules["layer_12.attention.gate"].of[1] = 5;
  report.modules[""].of[4] = 1;
  const std::string table = flop_table(report);
  EXPECT_NE(table.find("layer_*.attention                    20          5"), std::string::npos)
      << table;
  EXPECT_NE(table.find("layer_*.feed_0"), std::string::npos);
  EXPECT_NE(table.find("(model)"), std::string::npos);
  EXPECT_EQ(table.find("layer_1"), std::string::npos);
}

TEST(FlopReport, SaysEveryKindOfWork) {
  ops::Flops flops;
  flops.of = {1, 2, 3, 4, 5};
  EXPECT_EQ(to_json(flops).dump(),
            R"({"product":1.0,"attention":2.0,"message":3.0,"norm":4.0,"element":5.0})");
}

}  // namespace
}  // namespace gtrain::train
