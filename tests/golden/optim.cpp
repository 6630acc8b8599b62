// Learning-rate traces and optimizer steps.
#include "golden/golden.h"
#include "gtrain/train/optimizer.h"
#include "gtrain/train/schedule.h"

namespace gtrain::golden {
namespace {

using nlohmann::json;

// Rates of one trace, by the schedule's own keys.
std::vector<double> rates(const json& s, std::size_t count) {
  const std::string name = s.at("scheduler").get<std::string>();
  const auto whole = [&](const char* key) { return s.value(key, std::int64_t{0}); };
  const double lr =
      s.contains("base_lr") ? s.at("base_lr").get<double>() : s.at("peak_lr").get<double>();
  const std::int64_t warmup = whole("num_warmup_epochs"), total = whole("max_epoch");
  train::Plateau plateau(
      {"loss", s.value("reduce_factor", 0.5), s.value("min_lr", 0.0), whole("schedule_patience")},
      lr, false);
  std::vector<double> out;
  for (std::int64_t t = 0; t < static_cast<std::int64_t>(count); ++t) {
    if (name == "cosine_with_warmup" || name == "cos") {
      out.push_back(train::cosine_rate(lr, t, warmup, total));
    } else if (name == "linear_with_warmup") {
      out.push_back(train::linear_rate(lr, t, warmup, total));
    } else if (name == "polynomial_with_warmup") {
      out.push_back(train::polynomial_rate(lr, t, total, {"epoch", warmup, 1e-7, 1.0}));
    } else if (name == "graphormer PolynomialDecayLR") {  // its first update has count 1
      out.push_back(
          train::polynomial_rate(lr, t + 1, whole("tot_updates"),
                                 {"step", whole("warmup_updates"), s.at("end_lr").get<double>(),
                                  s.at("power").get<double>()}));
    } else if (name == "step") {
      out.push_back(train::step_rate(lr, t, s.at("steps").get<std::vector<std::int64_t>>(),
                                     s.at("lr_decay").get<double>()));
    } else if (name ==
               "none") {  // the reference's "none" still divides by ten after the last epoch
      out.push_back(train::step_rate(lr, t, {total + 1}, 0.1));
    } else if (name == "reduce_on_plateau") {
      out.push_back(plateau.rate());  // in use during the epoch, before its loss is seen
      plateau.observe(s.at("val_loss").at(static_cast<std::size_t>(t)).get<double>());
    } else {
      throw Skip{"schedule " + name};
    }
  }
  return out;
}

void check_schedules(const Case& c, Checker& checker) {
  for (const auto& s : c.info().at("schedules")) {
    const auto want = s.at("lr").get<std::vector<double>>();
    const std::vector<double> got = rates(s, want.size());
    for (std::size_t t = 0; t < want.size(); ++t) {
      checker.close(s.at("scheduler").get<std::string>() + ".lr[" + std::to_string(t) + "]", got[t],
                    want[t], {1e-18, 1e-12});
    }
  }
}

// Hyperparameters of the traces; case.json names the optimizers only.
train::OptimizerOptions options_of(const std::string& name) {
  if (name == "adamw") return train::AdamWOptions{1e-2, 1e-2, 0.9, 0.999, 1e-8};
  if (name == "adamw_clip1") return train::AdamWOptions{1e-2, 1e-5, 0.9, 0.999, 1e-8};
  if (name == "adam_l2") return train::AdamOptions{5e-3, 1e-2, 0.9, 0.999, 1e-8};
  if (name == "adamw_betas") return train::AdamWOptions{1e-3, 5e-2, 0.9, 0.98, 1e-6};
  if (name == "adamw_amsgrad") return train::AdamWOptions{1e-3, 1e-2, 0.9, 0.999, 1e-8, true};
  if (name == "sgd_momentum") return train::SgdOptions{1e-1, 1e-4, 0.9};
  if (name == "adagrad") return train::AdagradOptions{1e-2, 1e-4, 1e-10};
  throw Skip{"optimizer " + name};
}

void check_optimizer(const Case& c, Checker& checker, const json& entry, at::ScalarType type) {
  const std::string name = entry.at("name").get<std::string>();
  const bool clipped = entry.at("clip").is_number();
  std::vector<train::Parameter> parameters;
  for (int i = 0; c.has("input.param." + std::to_string(i)); ++i) {
    const std::string key = "input.param." + std::to_string(i);
    parameters.push_back({std::to_string(i), c.expected(key, type).to(type).clone()});
  }
  const train::OptimizerOptions options = options_of(name);
  train::Optimizer optimizer(options, parameters);
  const Tolerance t = type == at::kDouble ? Tolerance{1e-12, 1e-12} : Tolerance{1e-6, 2e-6};
  constexpr int kSteps = 6;
  for (int s = 0; s < kSteps; ++s) {
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const std::string key = "input.grad." + std::to_string(s) + "." + std::to_string(i);
      parameters[i].value.mutable_grad() = c.expected(key, type).to(type).clone();
    }
    const double norm =
        optimizer.step(train::base_rate(options), clipped ? entry.at("clip").get<double>() : 0.0);
    const std::string norm_key = name + ".grad_norm." + std::to_string(s);
    if (c.expects(norm_key, type)) {
      checker.close(norm_key, norm, c.expected(norm_key, type).item<double>(),
                    type == at::kDouble ? Tolerance{1e-12, 1e-12} : Tolerance{0.0, 1e-6});
    }
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const std::string key = name + ".after" + std::to_string(s + 1) + "." + std::to_string(i);
      checker.close(key, parameters[i].value, c.expected(key, type), t);
    }
  }
}

}  // namespace

void check_optim(const Case& c, Checker& checker) {
  check_schedules(c, checker);
  for (const auto& entry : c.info().at("optimizers")) {
    check_optimizer(c, checker, entry, at::kDouble);
    check_optimizer(c, checker, entry, at::kFloat);
  }
}

}  // namespace gtrain::golden
