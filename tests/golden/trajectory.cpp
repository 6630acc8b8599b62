// Fifty training steps of the reference's own loop: losses, rates, gradient norms and the weights
// at the end, over batches cycled in the reference's order.
#include <cmath>

#include "golden/gps_model.h"
#include "gtrain/train/optimizer.h"
#include "gtrain/train/schedule.h"

namespace gtrain::golden {
namespace {

constexpr std::int64_t kPerEpoch = 6;

Tolerance tolerance_of(const Case& c, const std::string& key, at::ScalarType type) {
  if (type == at::kFloat) return {1e-5, 1e-4};
  const auto& t = c.info().at("tolerance").at("fp64").at(key);
  return {t.at("atol").get<double>(), t.at("rtol").get<double>()};
}

void compare_end(const Case& c, Checker& checker, torch::nn::Module& model) {
  std::map<std::string, at::Tensor> own;
  for (const auto& p : model.named_parameters()) own[p.key()] = p.value().detach();
  for (const auto& b : model.named_buffers()) own[b.key()] = b.value();
  for (const char* kind : {"final.param.", "final.buffer."}) {
    for (const std::string& name : c.keys(kind)) {
      const auto it = own.find(gps_name(name));
      if (it == own.end() || !it->second.is_floating_point()) continue;
      checker.close(kind + name, it->second, c.expected(kind + name, at::kDouble),
                    tolerance_of(c, "final.param", at::kDouble));
    }
  }
}

void follow(const Case& c, Checker& checker, at::ScalarType type) {
  const GpsCase built = build_gps_case(c);
  load(c, *built.model, gps_name, type);
  const auto& o = c.info().at("optimizer");
  const auto& schedule = o.at("schedule");
  if (o.at("kind") != "AdamW" || schedule.at("kind").get<std::string>().find("cosine") != 0) {
    throw Skip{"a loop that is not GraphGPS's"};
  }
  const double lr = o.at("lr").get<double>();
  std::vector<train::Parameter> parameters;
  for (const auto& p : built.model->named_parameters()) parameters.push_back({p.key(), p.value()});
  train::Optimizer optimizer(
      train::AdamWOptions{lr, o.at("weight_decay").get<double>(), 0.9, 0.999, 1e-8}, parameters);
  std::vector<Batch> batches;
  for (std::int64_t k = 0; k < kPerEpoch; ++k) {
    batches.push_back(read_gps_batch(c, "input.b" + std::to_string(k) + ".", type));
  }
  const at::Tensor losses = c.expected("traj.losses", at::kDouble);
  const at::Tensor norms = c.expected("traj.grad_norm_before_clip", at::kDouble);
  const at::Tensor traced = c.expected("traj.lr", at::kDouble);
  // fp32 curves part from the reference's after a while.
  const std::int64_t steps = type == at::kDouble ? losses.size(0) : 10;
  for (std::int64_t s = 0; s < steps; ++s) {
    const std::string at = "[" + std::to_string(s) + "]";
    const std::string prefix = "input.b" + std::to_string(s % kPerEpoch) + ".";
    nn::Context context;
    context.training = true;
    if (c.has("input.lappe_sign")) context.signs = c.input("input.lappe_sign", type).select(0, s);
    const at::Tensor output =
        built.model->forward(batches[static_cast<std::size_t>(s % kPerEpoch)].batch, context);
    const at::Tensor loss = gps_loss(c, output, c.input(prefix + "y", type));
    optimizer.zero_grad();
    loss.backward();
    checker.close("traj.losses" + at, loss.item<double>(), losses[s].item<double>(),
                  tolerance_of(c, "traj.losses", type));
    const double rate =
        train::cosine_rate(lr, s / kPerEpoch, schedule.at("num_warmup_epochs").get<std::int64_t>(),
                           schedule.at("max_epoch").get<std::int64_t>());
    checker.close("traj.lr" + at, rate, traced[s].item<double>(), {1e-18, 1e-12});
    const double norm = optimizer.step(rate, 1.0);
    if (type == at::kDouble) {
      checker.close("traj.grad_norm_before_clip" + at, norm, norms[s].item<double>(), {1e-8, 1e-7});
    }
  }
  if (type == at::kDouble) compare_end(c, checker, *built.model);
}

}  // namespace

void check_trajectory(const Case& c, Checker& checker) {
  follow(c, checker, at::kDouble);
  follow(c, checker, at::kFloat);
}

}  // namespace gtrain::golden
