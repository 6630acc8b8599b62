// Fifty steps of OGB's own training loop: Adam at a constant rate, no clipping.
#include "golden/mpnn.h"
#include "gtrain/train/loss.h"
#include "gtrain/train/optimizer.h"

namespace gtrain::golden {
namespace {

constexpr std::int64_t kPerEpoch = 6;

Tolerance tolerance_of(const Case& c, const std::string& key) {
  const auto& t = c.info().at("tolerance").at("fp64").at(key);
  return {t.at("atol").get<double>(), t.at("rtol").get<double>()};
}

void compare_end(const Case& c, Checker& checker, const torch::nn::Module& model) {
  std::map<std::string, at::Tensor> own;
  for (const auto& p : model.named_parameters()) own[p.key()] = p.value().detach();
  for (const auto& b : model.named_buffers()) own[b.key()] = b.value();
  for (const char* kind : {"final.param.", "final.buffer."}) {
    for (const std::string& name : c.keys(kind)) {
      const auto it = own.find(mpnn_name(name));
      if (it == own.end()) continue;
      checker.close(kind + name, it->second, c.expected(kind + name, at::kDouble),
                    tolerance_of(c, "final.param"));
    }
  }
}

void follow(const Case& c, Checker& checker, at::ScalarType type) {
  const auto model = build_mpnn(mpnn_source(c));
  load(c, *model, mpnn_name, type);
  const auto& o = c.info().at("optimizer");
  if (o.at("kind") != "Adam" || o.at("schedule").at("kind") != "constant") {
    throw Skip{"a loop that is not OGB's"};
  }
  const double lr = o.at("lr").get<double>();
  std::vector<train::Parameter> parameters;
  for (const auto& p : model->named_parameters()) parameters.push_back({p.key(), p.value()});
  train::Optimizer optimizer(train::AdamOptions{lr, o.at("weight_decay").get<double>()},
                             parameters);
  const at::Tensor losses = c.expected("traj.losses", at::kDouble);
  const at::Tensor norms = c.expected("traj.grad_norm", at::kDouble);
  // fp32 curves part from the reference's after a while.
  const bool exact = type == at::kDouble;
  const std::int64_t steps = exact ? losses.size(0) : 10;
  for (std::int64_t s = 0; s < steps; ++s) {
    const std::string at = "[" + std::to_string(s) + "]";
    const std::string prefix = "input.b" + std::to_string(s % kPerEpoch) + ".";
    nn::Context context;
    context.training = true;
    const at::Tensor output = model->forward(read_batch(c, prefix, type).batch, context);
    const at::Tensor loss = train::find_loss("bce", data::Task::kGraphMultilabel)
                                .value(output, c.input(prefix + "y", type));
    optimizer.zero_grad();
    loss.backward();
    checker.close("traj.losses" + at, loss.item<double>(), losses[s].item<double>(),
                  exact ? tolerance_of(c, "traj.losses") : Tolerance{1e-5, 1e-4});
    const double norm = optimizer.step(lr, 0.0);
    if (exact) {
      checker.close("traj.grad_norm" + at, norm, norms[s].item<double>(), {1e-8, 1e-7});
    }
  }
  if (exact) compare_end(c, checker, *model);
}

}  // namespace

void check_ogb_trajectory(const Case& c, Checker& checker) {
  follow(c, checker, at::kDouble);
  follow(c, checker, at::kFloat);
}

}  // namespace gtrain::golden
