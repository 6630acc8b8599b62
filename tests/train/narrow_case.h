// Models of the zoo that nodes can leave, with a gate before each layer that tells what it did.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtrain/sparsify/plan.h"
#include "gtrain/sparsify/sparsity.h"
#include "models/zoo_case.h"

namespace gtrain::models::zoo_case {

inline const std::vector<std::string>& narrowing_names() {
  static const std::vector<std::string> names{"gps",
                                              "gps_nodes",
                                              "gps_performer",
                                              "gps_biased",
                                              "gps_bigbird",
                                              "gps_gcn",
                                              "gps_pna",
                                              "gps_gates",
                                              "gps_gat",
                                              "graphormer",
                                              "gt",
                                              "gt_nodes",
                                              "graphormer_post_norm",
                                              "gt_full",
                                              "graphtrans",
                                              "graphtrans_nodes",
                                              "san",
                                              "san_edges"};
  return names;
}

inline ZooCase case_named(const std::string& name) {
  for (ZooCase& c : cases()) {
    if (c.name == name) return std::move(c);
  }
  throw std::invalid_argument(name);
}

inline sparsify::Options leaving_rule(double keep, std::int64_t at = 0,
                                      const std::string& scorer = "learned") {
  sparsify::TokenRule rule;
  rule.depth = "network";
  rule.at = at;
  rule.scorer = scorer;
  rule.timing.keep = keep;
  sparsify::Options out;
  out.rules.emplace_back(rule);
  return out;
}

// A gate around another that writes down how many rows each graph had in the beginning, and has.
class Watched final : public nn::TokenGate {
 public:
  struct Choice {
    at::Tensor whole, left, rows;  // int64 [G], [G], [K]
  };
  Watched(std::shared_ptr<nn::TokenGate> gate, std::vector<Choice>& told)
      : gate_(std::move(gate)), told_(told) {}
  std::optional<nn::KeptRows> choose(const nn::Candidates& rows, nn::Context& context) override {
    auto kept = gate_->choose(rows, context);
    if (kept) {
      told_.push_back({rows.whole_start.diff(), kept->graph_start.diff(), kept->rows.index});
    }
    return kept;
  }

 private:
  std::shared_ptr<nn::TokenGate> gate_;
  std::vector<Choice>& told_;
};

// Of a case, with the gates of the options, at their share after `updates`.
struct Narrowed {
  std::shared_ptr<Model> model;
  std::unique_ptr<sparsify::Sparsity> sparsity;
  std::vector<Watched::Choice> told;

  Narrowed(const ZooCase& c, const sparsify::Options& options) {
    Signature s = signature();
    if (c.node_level) s.level = data::Level::kNode;
    model = build(c.options, s);
    sparsify::attach(*model, options);
    initialise(*model, 11);
    model->to(at::kDouble);
    sparsity = std::make_unique<sparsify::Sparsity>(*model, options, sparsify::Clock{});
    sparsity->begin(0);
  }
  void watch() {
    for (const sparsify::Site& site : sparsify::sites(*model)) {
      std::shared_ptr<nn::TokenGate>& gate = site.gated->leave_gate;
      if (gate) gate = std::make_shared<Watched>(gate, told);
    }
  }
  at::Tensor forward(const data::GraphBatch& batch, bool training, std::uint64_t key = 1) {
    model->train(training);
    nn::Context context = support::context(training, key);
    return model->forward(batch, context);
  }
};

}  // namespace gtrain::models::zoo_case
