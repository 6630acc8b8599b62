#include "golden/trajectory.h"

#include <cmath>
#include <map>
#include <optional>
#include <vector>

#include "golden/gps_model.h"
#include "gtrain/train/optimizer.h"
#include "gtrain/train/schedule.h"

namespace gtrain::golden {
namespace {

constexpr std::int64_t kPerEpoch = 6;
constexpr std::int64_t kFloatSteps = 10;  // single-precision curves part from the reference's then

Tolerance tolerance_of(const Case& c, const std::string& key, at::ScalarType type) {
  if (type == at::kFloat) return {1e-5, 1e-4};
  const auto& t = c.info().at("tolerance").at("fp64").at(key);
  return {t.at("atol").get<double>(), t.at("rtol").get<double>()};
}

train::OptimizerOptions optimizer_of(const nlohmann::json& o) {
  const double lr = o.at("lr").get<double>(), decay = o.at("weight_decay").get<double>();
  const double beta1 = o.at("betas").at(0).get<double>(), beta2 = o.at("betas").at(1).get<double>();
  const double eps = o.at("eps").get<double>();
  if (o.at("kind") == "Adam") return train::AdamOptions{lr, decay, beta1, beta2, eps};
  if (o.at("kind") != "AdamW") throw Skip{"optimizer " + o.at("kind").get<std::string>()};
  return train::AdamWOptions{lr, decay, beta1, beta2, eps};
}

// The reference's schedule; its kind is a sentence that begins with the name.
class Rates {
 public:
  explicit Rates(const nlohmann::json& optimizer)
      : lr_(optimizer.at("lr").get<double>()), schedule_(optimizer.at("schedule")) {
    kind_ = schedule_.at("kind").get<std::string>();
    if (is("ReduceLROnPlateau")) {
      train::PlateauSchedule options;
      options.factor = schedule_.at("factor").get<double>();
      options.patience = schedule_.at("patience").get<std::int64_t>();
      plateau_.emplace(options, lr_, false);
    } else if (is("PolynomialDecayLR")) {
      polynomial_.warmup = schedule_.at("warmup_updates").get<std::int64_t>();
      polynomial_.lr_end = schedule_.at("end_lr").get<double>();
      polynomial_.power = schedule_.at("power").get<double>();
    } else if (!is("cosine_with_warmup") && !is("constant")) {
      throw Skip{"schedule " + kind_};
    }
  }

  double at(std::int64_t step) const {
    if (plateau_) return plateau_->rate();
    if (is("constant")) return lr_;
    if (is("cosine")) {
      return train::cosine_rate(lr_, step / kPerEpoch,
                                schedule_.at("num_warmup_epochs").get<std::int64_t>(),
                                schedule_.at("max_epoch").get<std::int64_t>());
    }
    // Its first update already has a rate: it counts from 1.
    return train::polynomial_rate(schedule_.at("peak_lr").get<double>(), step + 1,
                                  schedule_.at("tot_updates").get<std::int64_t>(), polynomial_);
  }
  void observe(double validation) {
    if (plateau_) plateau_->observe(validation);
  }

 private:
  bool is(const char* name) const { return kind_.starts_with(name); }

  double lr_;
  nlohmann::json schedule_;
  std::string kind_;
  train::PolynomialSchedule polynomial_;
  std::optional<train::Plateau> plateau_;
};

void compare_end(const Case& c, Checker& checker, const Trajectory& t) {
  std::map<std::string, at::Tensor> own;
  for (const auto& p : t.model.named_parameters()) own[p.key()] = p.value().detach();
  for (const auto& b : t.model.named_buffers()) own[b.key()] = b.value();
  for (const char* kind : {"final.param.", "final.buffer."}) {
    for (const std::string& name : c.keys(kind)) {
      const auto it = own.find(parameter_name(t.model, t.names(name)));
      if (it == own.end() || !it->second.is_floating_point()) continue;
      checker.close(kind + name, it->second, c.expected(kind + name, at::kDouble),
                    tolerance_of(c, "final.param", at::kDouble));
    }
  }
}

at::Tensor recorded_signs(const Case& c, std::int64_t step, at::ScalarType type) {
  for (const char* key : {"input.lappe_sign", "input.sign_flip"}) {
    if (c.has(key)) return c.input(key, type).select(0, step);
  }
  return {};
}

double validation_loss(const Case& c, const Trajectory& t, const Batch& batch,
                       at::ScalarType type) {
  const at::NoGradGuard guard;
  nn::Context context;
  const at::Tensor output = t.model.forward(batch.batch, context);
  return t.loss(output, c.input("input.val0.y", type)).item<double>();
}

}  // namespace

void check_trajectory(const Case& c, Checker& checker, const Trajectory& t, at::ScalarType type) {
  load(c, t.model, t.names, type);
  const auto& o = c.info().at("optimizer");
  const double clip = o.at("grad_clip").is_null() ? 0.0 : 1.0;
  Rates rates(o);
  std::vector<train::Parameter> parameters;
  for (const auto& p : t.model.named_parameters()) parameters.push_back({p.key(), p.value()});
  train::Optimizer optimizer(optimizer_of(o), parameters);
  std::vector<Batch> batches;
  for (std::int64_t k = 0; k < kPerEpoch; ++k) {
    batches.push_back(t.batch("input.b" + std::to_string(k) + "."));
  }
  std::optional<Batch> validation;
  if (c.has("input.val0.y")) validation = t.batch("input.val0.");
  const auto expected = [&](const std::string& key, std::int64_t i) {
    return c.expected(key, at::kDouble)[i].item<double>();
  };
  const char* norm_key = clip > 0 ? "traj.grad_norm_before_clip" : "traj.grad_norm";
  const bool exact = type == at::kDouble;
  const std::int64_t steps = exact ? c.expected("traj.losses", at::kDouble).size(0) : kFloatSteps;
  for (std::int64_t s = 0; s < steps; ++s) {
    const std::string at = "[" + std::to_string(s) + "]", k = std::to_string(s % kPerEpoch);
    nn::Context context;
    context.training = true;
    context.signs = recorded_signs(c, s, type);
    const at::Tensor output =
        t.model.forward(batches[static_cast<std::size_t>(s % kPerEpoch)].batch, context);
    const at::Tensor loss = t.loss(output, c.input("input.b" + k + ".y", type));
    optimizer.zero_grad();
    loss.backward();
    checker.close("traj.losses" + at, loss.item<double>(), expected("traj.losses", s),
                  tolerance_of(c, "traj.losses", type));
    checker.close("traj.lr" + at, rates.at(s), expected("traj.lr", s), {1e-18, 1e-12});
    const double norm = optimizer.step(rates.at(s), clip);
    if (exact) checker.close(norm_key + at, norm, expected(norm_key, s), {1e-8, 1e-7});
    if (!validation || (s + 1) % kPerEpoch != 0) continue;
    const double value = validation_loss(c, t, *validation, type);
    if (exact) {
      checker.close("traj.val_losses" + at, value, expected("traj.val_losses", s / kPerEpoch),
                    tolerance_of(c, "traj.losses", type));
    }
    rates.observe(value);
  }
  if (exact) compare_end(c, checker, t);
}

void check_gps_trajectory(const Case& c, Checker& checker) {
  for (const at::ScalarType type : {at::kDouble, at::kFloat}) {
    const GpsCase built = build_gps_case(c);
    check_trajectory(c, checker,
                     {*built.model, gps_name,
                      [&](const std::string& prefix) { return read_gps_batch(c, prefix, type); },
                      [&](const at::Tensor& output, const at::Tensor& label) {
                        return gps_loss(c, output, label);
                      }},
                     type);
  }
}

}  // namespace gtrain::golden
