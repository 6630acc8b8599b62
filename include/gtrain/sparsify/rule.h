// The rules of a recipe's `sparsify:` section, as values: what becomes sparser, how far, and when.
// "Exploring Sparsity in Graph Transformers" (Liu et al. 2024, GTSP) prunes these four. Nothing
// here acts; sparsify/plan.h lists what each rule finds in a model.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gtrain/base/option.h"

namespace gtrain::sparsify {

// When a rule acts. keep(t), the share that is left, falls from 1 to `keep`:
//   keep(t) = keep + (1 - keep) (1 - (t - start) / (end - start))³     start <= t < end
// before `start` it is 1, from `end` on `keep` (Zhu & Gupta 2017). It moves every `every` units.
struct Timing {
  std::optional<double> keep;  // in (0, 1]; absent: the budget sets it
  std::int64_t start = 0;
  std::int64_t end = 0;  // not after start: all at once, at start
  std::int64_t every = 1;
  std::string unit = "step";  // an optimizer update; or epoch: of start, end and every

  void fields(base::FieldVisitor& f);
};

struct TokenRule {
  static constexpr std::string_view kName = "tokens";
  static constexpr std::string_view kDoc =
      "nodes leave an attention, or the network: max(1, ceil(keep n)) of a graph's n nodes stay";
  Timing timing;
  std::string depth = "attention";
  std::int64_t at = 0;  // of depth network: the layer before which all leave; 0: by and by
  std::string scorer = "learned";
  double temperature = 1.0;     // of learned
  double propagate = 0.0;       // share of what left that its neighbours in attention get
  std::int64_t iterations = 4;  // of pagerank
  std::vector<std::string> quirks;
  void fields(base::FieldVisitor& f);
};

struct HeadRule {
  static constexpr std::string_view kName = "heads";
  static constexpr std::string_view kDoc =
      "attention heads: max(1, round(keep H)) of each layer's H stay";
  Timing timing;
  std::string method = "gradual";
  double exchange = 0.0;  // share of the living heads that die and are replaced at each change
  double penalty = 0.1;   // of l0
  std::vector<std::string> quirks;
  void fields(base::FieldVisitor& f);
};

// With costs c of the branches, those that stay open hold at most keep Σ c: from the most open gate
// down each that still fits, at least the cheapest. A budget of FLOPs is met so, whichever gates
// training closes.
struct LayerRule {
  static constexpr std::string_view kName = "layers";
  static constexpr std::string_view kDoc =
      "residual branches of layers: attention, or feed-forward blocks, too";
  Timing timing;
  std::string method = "drop_path";
  std::string branches = "attention";
  double penalty = 0.1;       // of learned
  std::vector<double> costs;  // of learned, as branches() lists them; empty: all alike
  std::vector<std::string> quirks;
  void fields(base::FieldVisitor& f);
};

struct WeightRule {
  static constexpr std::string_view kName = "weights";
  static constexpr std::string_view kDoc =
      "entries of weight matrices (tables of embeddings excluded): round(keep n) of n stay";
  Timing timing;
  std::string method = "granet";
  std::string structure = "none";
  std::string scope = "layer";
  std::string distribution = "uniform";
  double regrow = 0.5;          // at the start; falls along a cosine
  std::vector<std::string> of;  // modules; empty: all
  std::vector<std::string> quirks;
  void fields(base::FieldVisitor& f);
};

using Rule = std::variant<TokenRule, HeadRule, LayerRule, WeightRule>;

struct Options {
  std::optional<double> flops;     // share of the dense model's, in (0, 1]
  std::string trade_off = "even";  // how flops is divided among the rules
  std::vector<Rule> rules;
  void fields(base::FieldVisitor& f);
};

bool has_quirk(const std::vector<std::string>& quirks, std::string_view name);

const Timing& timing_of(const Rule& rule);
Timing& timing_of(Rule& rule);
std::string_view name_of(const Rule& rule);

}  // namespace gtrain::sparsify
