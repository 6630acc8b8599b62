#include "train/flag.h"

#include <ATen/ATen.h>

#include <csignal>

#include "gtrain/base/error.h"
#include "gtrain/base/random.h"
#include "gtrain/models/gps.h"
#include "gtrain/models/graphtrans.h"
#include "gtrain/train/checkpoint.h"
#include "gtrain/train/serial_aten.h"
#include "train/epoch.h"
#include "train/sample_run.h"

namespace gtrain::train {
namespace {

using TrainedFlag = TrainedSample;

TEST(Flag, StartsWithinAStepOrWithinTheBound) {
  const at::Tensor by_step = first_perturbation({3, 0.2, 0.0}, 50, 16, 7);
  EXPECT_LE(by_step.abs().max().item<float>(), 0.2f);
  EXPECT_GT(by_step.abs().max().item<float>(), 0.19f);
  EXPECT_LT(std::abs(by_step.mean().item<float>()), 0.02f);
  const at::Tensor bounded = first_perturbation({3, 0.2, 1.0}, 50, 16, 7);
  EXPECT_LE(bounded.abs().max().item<float>(), 0.25f);  // 1 / sqrt(16)
  EXPECT_LE(bounded.norm(2, -1).max().item<float>(), 1.0f);
  EXPECT_TRUE(by_step.equal(first_perturbation({3, 0.2, 0.0}, 50, 16, 7)));
  EXPECT_FALSE(by_step.equal(first_perturbation({3, 0.2, 0.0}, 50, 16, 8)));
}

TEST(Flag, PerturbsNodesWhereTheyBecomeVectors) {
  models::GraphTransOptions trans;
  trans.width = 8;
  trans.gnn.width = 12;
  EXPECT_EQ(node_width(models::ModelOptions(trans)), 12);
  models::GpsOptions gps;
  gps.width = 20;
  EXPECT_EQ(node_width(models::ModelOptions(gps)), 20);
}

TEST(Flag, ClimbsBySignsAndShortensLongRowsOnly) {
  const at::Tensor d = at::tensor({0.0f, 0.0f, 0.6f, 0.8f}).view({2, 2});
  const at::Tensor g = at::tensor({2.0f, -0.1f, 0.0f, 5.0f}).view({2, 2});
  const at::Tensor free = climb({2, 0.5, 0.0}, d, g);
  EXPECT_TRUE(free.equal(at::tensor({0.5f, -0.5f, 0.6f, 1.3f}).view({2, 2})));
  const at::Tensor bound = climb({2, 0.5, 1.0}, d, g);
  EXPECT_TRUE(bound[0].equal(free[0]));
  EXPECT_NEAR(bound[1].norm().item<float>(), 1.0f, 1e-6);
  EXPECT_TRUE(bound[1].allclose(free[1] / free[1].norm()));
  const at::Tensor still = climb({2, 0.0, 1.0}, at::zeros({1, 2}), at::zeros({1, 2}));
  EXPECT_TRUE(still.equal(at::zeros({1, 2})));  // 0/0 is not made
}

// One update by hand: the mean gradient of two passes, the second one step up the loss.
TEST_F(TrainedFlag, UpdatesByTheMeanGradientOfItsPasses) {
  const SerialAten serial;
  const Recipe r = recipe(
      {"train.flag={steps: 2, size: 0.1, mag: 0.5}", "train.steps=1", "train.clip_norm=0",
       "train.optimizer={name: sgd, lr: 0.5, momentum: 0}", "train.schedule={name: constant}",
       "model.dropout=0", "model.attention_dropout=0", "model.norm=none", "dataset.batch_size=24"});
  const Material material = prepare(r);
  const auto fresh = [&] {
    auto model = models::build(r.model, material.signature);
    models::initialise(*model, 5);
    return model;
  };
  auto trained = fresh(), by_hand = fresh();
  EpochLoop loop(r, material, *trained, 5);
  EpochFigures figures;
  loop.run(1, "", nullptr, figures);

  data::Loader loader(material.dataset(), material.encodings, material.split.train,
                      {.batch_size = 24, .shuffle = true, .seed = 5});
  loader.start_epoch(1);
  const data::GraphBatch batch = *loader.next();
  at::Tensor d = first_perturbation(*r.train.flag, batch.nodes(), 8,
                                    base::key(5, base::Purpose::kDropout, 1, 0, -1));
  double loss = 0.0;
  by_hand->train();
  for (int k = 0; k < 2; ++k) {
    d = (k == 0 ? d : climb(*r.train.flag, d, d.grad())).set_requires_grad(true);
    nn::Context context;
    context.training = true;
    context.perturbation = d;
    const at::Tensor l1 = (by_hand->forward(batch, context) - batch.label).abs().mean() / 2;
    l1.backward();
    loss += l1.item<double>();
  }
  EXPECT_NEAR(figure(figures.figures, "loss"), loss, 1e-6);
  const NamedTensors before = model_tensors(*fresh()), after = model_tensors(*trained);
  for (const auto& p : by_hand->named_parameters()) {
    if (!p.value().grad().defined()) continue;
    const at::Tensor expected = before.at(p.key()) - 0.5 * p.value().grad();
    EXPECT_TRUE(expected.allclose(after.at(p.key()), 1e-5, 1e-6)) << p.key();
  }
}

TEST_F(TrainedFlag, ChangesTrainingAndNotEvaluation) {
  run(recipe({"train.flag={steps: 2, size: 0.5}"}), options("a"));
  run(recipe(), options("b"));
  EXPECT_NE(timeless_lines("a"), timeless_lines("b"));
  const std::string judged = evaluate(root() / "a", "test");
  EXPECT_EQ(judged, evaluate(root() / "a", "test"));
}

TEST_F(TrainedFlag, InterruptedGoesOnToTheSameBytes) {
  const Recipe r = recipe({"train.flag={steps: 3, size: 0.01, mag: 0.02}", "train.epochs=2"});
  run(r, options("whole"));
  std::atomic<int> signal{SIGTERM};
  RunOptions o = options("parts");
  o.interrupt = &signal;
  RunOutcome outcome = run(r, o);
  for (int i = 0; i < 50 && outcome.code == base::ExitCode::kTerminated; ++i) {
    outcome = resume(root() / "parts", o);
  }
  EXPECT_EQ(outcome.code, base::ExitCode::kOk);
  EXPECT_TRUE(text_of(root() / "whole/last.safetensors") ==
              text_of(root() / "parts/last.safetensors"));
  EXPECT_EQ(timeless_lines("whole"), timeless_lines("parts"));
}

}  // namespace
}  // namespace gtrain::train
