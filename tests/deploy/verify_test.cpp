#include "gtrain/deploy/verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <stdexcept>

#include "deploy/script_case.h"

namespace gtrain::deploy {
namespace {

struct Built {
  data::Dataset dataset = categorical_dataset({support::path(4), support::cycle(5)});
  std::vector<encode::EncodingOptions> encodings = all_encodings();
  models::Signature signature = signature_of(dataset, encodings);
  std::shared_ptr<models::Model> model = random_model(small_gps(), signature);
  ExportSpec spec = spec_of(signature, encodings);
  data::GraphBatch batch =
      data::collate(dataset, compute_all(dataset, encodings), std::vector<std::int64_t>{0, 1, 0});

  std::vector<Sample> samples() const { return {sample_of(batch, *model, spec.encodings)}; }
  Verified with(const at::Tensor& output) { return compare(*model, spec, samples(), {output}); }
  at::Tensor output() { return run_model(*model, batch); }
};

TEST(Verify, TheModelsOwnOutputsDifferByNothing) {
  Built b;
  const Verified v = b.with(b.output());
  EXPECT_EQ(v.graphs, 3);
  EXPECT_EQ(v.calls, 1);
  EXPECT_EQ(v.difference, 0.0);
  EXPECT_GT(v.gap, 0.0);
  EXPECT_LT(v.gap, 1e-5);
  EXPECT_DOUBLE_EQ(v.size, b.output().abs().max().item<double>());
}

TEST(Verify, TheBoundGrowsWithTheOutputsAndWithTheModelsOwnGap) {
  Built b;
  EXPECT_GE(b.with(b.output()).bound, 1e-5);
  b.spec.target_mean = {3000.0};
  b.spec.target_deviation = {1.0};
  EXPECT_NEAR(b.with(b.output() + 3000).bound, 0.03, 1e-3);
  b.spec.target_mean = {0.0};
  b.spec.target_deviation = {1e4};
  const Verified v = b.with(b.output() * 1e4);
  EXPECT_DOUBLE_EQ(v.bound, std::max(1e-5 * v.size, 10 * v.gap));
}

TEST(Verify, ADifferenceOfOneEntryIsFound) {
  Built b;
  const at::Tensor wrong = b.output().clone();
  wrong[2][0] += 1e-3;
  const Verified v = b.with(wrong);
  EXPECT_NEAR(v.difference, 1e-3, 1e-6);
  EXPECT_GT(v.difference, v.bound);
}

TEST(Verify, NaNEqualsItselfAndNothingElse) {
  Built b;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const at::Tensor broken = b.output().clone();
  broken[0][0] = nan;
  EXPECT_EQ(b.with(broken).difference, std::numeric_limits<double>::infinity());
  b.spec.target_mean = {nan};
  b.spec.target_deviation = {1.0};
  EXPECT_EQ(b.with(b.output() * nan).difference, 0.0);
  EXPECT_EQ(b.with(b.output()).difference, std::numeric_limits<double>::infinity());
}

TEST(Verify, OtherShapesAreRefused) {
  Built b;
  EXPECT_THAT([&] { b.with(b.output().slice(0, 1)); },
              ::testing::ThrowsMessage<std::runtime_error>(
                  ::testing::HasSubstr("the file gives [2, 1]; the model gives [3, 1]")));
  EXPECT_THROW(compare(*b.model, b.spec, b.samples(), {}), std::runtime_error);
}

TEST(Verify, OnlyTheRowsAskedForAreCompared) {
  Built b;
  std::vector<Sample> samples = b.samples();
  samples[0].rows = at::tensor({2, 0}, at::kLong);
  const at::Tensor out = b.output();
  const at::Tensor given = at::stack({out[2], out[0]});
  EXPECT_EQ(compare(*b.model, b.spec, samples, {given}).difference, 0.0);
}

TEST(Verify, LeavesTheModelAsItWasToTheBit) {
  for (const char* dtype : {"float32", "bfloat16"}) {
    Built b;
    b.spec.dtype = dtype;
    std::vector<at::Tensor> before;
    for (const at::Tensor& p : b.model->parameters()) before.push_back(p.detach().clone());
    for (const at::Tensor& p : b.model->buffers()) before.push_back(p.clone());
    b.with(b.output());
    std::vector<at::Tensor> after = b.model->parameters();
    for (const at::Tensor& p : b.model->buffers()) after.push_back(p);
    for (std::size_t i = 0; i < after.size(); ++i) EXPECT_TRUE(after[i].equal(before[i]));
  }
}

TEST(Verify, LeavesBuffersOfIntegersAlone) {
  for (const char* dtype : {"float32", "bfloat16"}) {
    Built b;
    b.spec.dtype = dtype;
    const at::Tensor counter = b.model->register_buffer("counter", at::arange(3, at::kLong));
    b.with(b.output());
    EXPECT_TRUE(counter.equal(at::arange(3, at::kLong)));
    EXPECT_EQ(b.model->parameters().front().scalar_type(), at::kFloat);
  }
}

TEST(Verify, Bfloat16MayDifferByWhatRoundedWeightsMake) {
  Built b;
  b.spec.dtype = "bfloat16";
  const Verified v = b.with(b.output());
  EXPECT_GT(v.gap, 1e-4);
  EXPECT_DOUBLE_EQ(v.bound, std::max(2e-2 * std::max(1.0, v.size), 10 * v.gap));
}

}  // namespace
}  // namespace gtrain::deploy
