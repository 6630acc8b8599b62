// Losses and their gradients with respect to the prediction.
#include "golden/golden.h"
#include "gtrain/train/loss.h"

namespace gtrain::golden {
namespace {

struct Named {
  std::string loss;
  data::Task task;
};

Named named(const std::string& name) {
  using data::Task;
  if (name == "l1") return {"l1", Task::kGraphRegression};
  if (name == "mse") return {"l2", Task::kGraphRegression};
  if (name == "smoothl1") return {"smooth_l1", Task::kGraphRegression};
  if (name == "bce_binary" || name == "bce_multilabel_nan") return {"bce", Task::kGraphMultilabel};
  if (name == "ce_multiclass") return {"cross_entropy", Task::kGraphClass};
  if (name == "weighted_ce") return {"weighted_cross_entropy", Task::kNodeClass};
  if (name == "weighted_ce_binary") return {"weighted_cross_entropy", Task::kNodeBinary};
  throw Skip{"loss " + name};
}

Tolerance tolerance_of(const Case& c, const std::string& name, at::ScalarType type) {
  if (type == at::kDouble) return {};
  const double difference = c.info().at("fp32_vs_fp64").at(name).at("max_abs").get<double>();
  return {10.0 * difference, 1e-4};
}

void check_one(const Case& c, Checker& checker, const std::string& name, at::ScalarType type) {
  const Named own = named(name);
  const at::Tensor pred = c.expected(name + ".input.pred", type).to(type).requires_grad_();
  const at::Tensor label = c.input(name + ".input.true", type);
  const at::Tensor loss = train::find_loss(own.loss, own.task).value(pred, label);
  loss.backward();
  const Tolerance t = tolerance_of(c, name, type);
  checker.close(name + ".loss", loss, c.expected(name + ".loss", type), t);
  checker.close(name + ".grad.pred", pred.grad(), c.expected(name + ".grad.pred", type), t);
}

// Mean of the cross-entropies of five positions; the reference computes it in float32 whatever the
// input's type.
void check_subtokens(const Case& c, Checker& checker, at::ScalarType type) {
  constexpr int kPositions = 5;
  std::vector<at::Tensor> preds, single;
  for (int p = 0; p < kPositions; ++p) {
    const std::string key = "subtoken_ce.input.pred" + std::to_string(p);
    preds.push_back(c.expected(key, type).to(type).requires_grad_());
    single.push_back(preds.back().to(at::kFloat));
  }
  const auto& entry = train::find_loss("cross_entropy", data::Task::kGraphSubtoken);
  const at::Tensor loss =
      entry.value(at::stack(single, 1), c.input("subtoken_ce.input.true", type));
  loss.backward();
  constexpr Tolerance kSingle{1e-7, 1e-5};
  checker.close("subtoken_ce.loss", loss, c.expected("subtoken_ce.loss", type), kSingle);
  for (int p = 0; p < kPositions; ++p) {
    const std::string key = "subtoken_ce.grad.pred" + std::to_string(p);
    checker.close(key, preds[static_cast<std::size_t>(p)].grad(), c.expected(key, type), kSingle);
  }
}

}  // namespace

void check_losses(const Case& c, Checker& checker) {
  for (const at::ScalarType type : {at::kDouble, at::kFloat}) {
    for (const auto& entry : c.info().at("losses")) {
      const std::string name = entry.at("name").get<std::string>();
      if (name == "subtoken_ce") {
        check_subtokens(c, checker, type);
      } else {
        check_one(c, checker, name, type);
      }
    }
  }
}

}  // namespace gtrain::golden
