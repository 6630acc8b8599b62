#include "train/meta_run.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "gtrain/base/error.h"
#include "gtrain/data/loader.h"
#include "gtrain/data/stand_in.h"
#include "gtrain/models/zoo.h"
#include "gtrain/nn/linear.h"
#include "gtrain/ops/meta.h"
#include "gtrain/train/recipe_file.h"
#include "train/evaluation.h"
#include "train/material.h"
#include "train/pair.h"

namespace gtrain::train {
namespace {

enum class Slip { kNone, kRefused, kTolerated };

// Two linear layers, and something between them.
class Small final : public models::Model {
 public:
  explicit Small(Slip slip) : slip_(slip) {
    first = register_module("first", std::make_shared<nn::Linear>(4, 8));
    second = register_module("second", std::make_shared<nn::Linear>(8, 2));
  }
  at::Tensor forward(const data::GraphBatch& batch, nn::Context&) override {
    at::Tensor h = first->forward(batch.node);
    if (slip_ == Slip::kRefused) h = h + at::ones({h.size(0), 1});
    if (slip_ == Slip::kTolerated) h = h.detach().index_select(0, at::arange(h.size(0)));
    return second->forward(h);
  }
  std::vector<std::string> encoding_inputs() const override { return {}; }
  std::string script() const override { return {}; }

  std::shared_ptr<nn::Linear> first, second;

 private:
  Slip slip_;
};

data::GraphBatch rows(std::int64_t count) {
  data::GraphBatch batch;
  batch.node = at::ones({count, 4});
  return batch;
}

class MetaStep : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!ops::has_meta()) GTEST_SKIP() << "built with CUDA kernels";
  }
};

TEST_F(MetaStep, CountsBytes) {
  Small model(Slip::kNone);
  const MetaRun run = run_on_meta(model, rows(10));
  EXPECT_EQ(run.output, (std::vector<std::int64_t>{10, 2}));
  EXPECT_TRUE(run.strays.empty());
  EXPECT_EQ(run.kept_bytes, 4.0 * 10 * (8 + 2));
  const double weights = 4 * (4 * 8 + 8 + 8 * 2 + 2);
  EXPECT_GE(run.peak_bytes, weights + 4.0 * 10 * (4 + 8 + 2));
  EXPECT_LE(run.peak_bytes, 2 * weights + 2 * 4.0 * 10 * (4 + 8 + 2));
}

TEST_F(MetaStep, NamesTheLayerWhereDevicesMix) {
  Small refused(Slip::kRefused);
  try {
    run_on_meta(refused, rows(10));
    FAIL();
  } catch (const c10::Error& e) {
    EXPECT_NE(std::string(e.what()).find("in first"), std::string::npos) << e.what();
  }
}

TEST_F(MetaStep, FindsWhatTorchTolerates) {
  Small tolerated(Slip::kTolerated);
  const MetaRun run = run_on_meta(tolerated, rows(10));
  EXPECT_EQ(run.strays,
            (std::vector<std::string>{"aten::index_select got [10] on cpu beside meta, in first"}));
}

TEST_F(MetaStep, LeavesTheDeviceAsItWas) {
  Small model(Slip::kNone);
  run_on_meta(model, rows(10));
  EXPECT_EQ(at::empty({3}, at::kMeta).nbytes(), 12U);
}

// A batch as the first step of training would get it, of generated data.
data::GraphBatch first_batch(const Recipe& recipe, const Material& material) {
  const Judge judge = judge_of(recipe, material.dataset().info, material.scale);
  data::Loader loader(material.dataset(), material.encodings, material.split.train,
                      plain_loading(recipe));
  loader.start_epoch(1);
  data::GraphBatch batch = *loader.next();
  if (judge.negatives > 0) draw_negatives(batch, judge.negatives, 0, 1);
  return batch;
}

TEST(ShippedRecipe, RunsOnTheMetaDeviceWithoutStrays) {
  if (!ops::has_meta()) GTEST_SKIP() << "built with CUDA kernels";
  for (const std::string& name : shipped_recipes()) {
    SCOPED_TRACE(name);
    try {
      const Recipe recipe = load_recipe(find_recipe(name), {});
      const Material material =
          prepare(recipe, data::open_stand_in(recipe.dataset, {.graphs = 10}));
      const data::GraphBatch batch = first_batch(recipe, material);
      const auto model = models::build(recipe.model, material.signature);
      const MetaRun run = run_on_meta(*model, batch);
      EXPECT_EQ(run.output.back(), material.signature.outputs);
      EXPECT_GT(run.kept_bytes, 0);
      for (const std::string& stray : run.strays) ADD_FAILURE() << stray;
    } catch (const c10::Error& e) {
      // SAN's eigenvector transformer groups by which eigenvectors there are: by numbers.
      const bool numbers =
          std::string(e.what()).find("Cannot copy out of meta") != std::string::npos;
      EXPECT_TRUE(numbers && name.find("/san") != std::string::npos) << e.what();
    } catch (const std::exception& e) {
      ADD_FAILURE() << e.what();
    }
  }
}

}  // namespace
}  // namespace gtrain::train
