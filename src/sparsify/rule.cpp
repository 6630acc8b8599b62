#include "gtrain/sparsify/rule.h"

#include <fmt/format.h>

#include <algorithm>

namespace gtrain::sparsify {
namespace {

constexpr double kUnits = 1e12;

void reference_quirk(base::FieldVisitor& f, std::string_view doc,
                     std::vector<std::string>& quirks) {
  f({.key = "quirks", .doc = doc, .one_of = {"reference"}}, quirks);
}

// Of two weight rules: neither names a module that holds the other's.
bool disjoint(const WeightRule& a, const WeightRule& b) {
  if (a.of.empty() || b.of.empty()) return false;
  const auto inside = [](const std::string& x, const std::string& y) {
    return x == y || x.starts_with(y + ".");
  };
  for (const std::string& x : a.of) {
    for (const std::string& y : b.of) {
      if (inside(x, y) || inside(y, x)) return false;
    }
  }
  return true;
}

bool same_target(const Rule& a, const Rule& b) {
  if (a.index() != b.index()) return false;
  const auto* x = std::get_if<WeightRule>(&a);
  return x == nullptr || !disjoint(*x, std::get<WeightRule>(b));
}

// A rule whose heads are rows of a weight, as in the authors' code, beside a rule on weights.
bool shares_rows(const Rule& a, const Rule& b) {
  const auto* heads = std::get_if<HeadRule>(&a);
  return heads != nullptr && has_quirk(heads->quirks, "reference") &&
         std::holds_alternative<WeightRule>(b);
}

// Nodes that leave the network by the weights of an attention that another rule may close for good.
bool reads_closed(const Rule& a, const Rule& b) {
  const auto* tokens = std::get_if<TokenRule>(&a);
  const auto* layers = std::get_if<LayerRule>(&b);
  return tokens != nullptr && tokens->depth == "network" && tokens->scorer != "learned" &&
         layers != nullptr && layers->method == "learned";
}

}  // namespace

bool has_quirk(const std::vector<std::string>& quirks, std::string_view name) {
  return std::find(quirks.begin(), quirks.end(), name) != quirks.end();
}

void Timing::fields(base::FieldVisitor& f) {
  f({.key = "keep",
     .doc = "share that is left at the end; beside flops the most, which the budget may lower",
     .min = 0,
     .max = 1},
    keep);
  f({.key = "start", .doc = "first change, in units", .min = 0, .max = kUnits}, start);
  f({.key = "end",
     .doc = "keep is reached here, along a cubic; not after start: all at once at start",
     .min = 0,
     .max = kUnits},
    end);
  f({.key = "every", .doc = "units between changes", .min = 1, .max = kUnits}, every);
  f({.key = "unit",
     .doc = "what start, end and every count: optimizer updates or epochs",
     .one_of = {"step", "epoch"}},
    unit);
  f.require(!keep || *keep > 0, "keep", "is 0: nothing would be left; expected more than 0");
  f.require(end == 0 || end >= start, "end", fmt::format("{} comes before start {}", end, start));
}

void TokenRule::fields(base::FieldVisitor& f) {
  timing.fields(f);
  f({.key = "depth",
     .doc = "attention: of each attention a share of the nodes takes part, the others come back "
            "after it; network: who leaves is in no later layer, and keeps its last state",
     .one_of = {"attention", "network"}},
    depth);
  f({.key = "at",
     .doc =
         "of depth: network: the layer before which all leave, 1 the first; 0: by and by, before "
         "layer l of L until keep^((l - 1)/(L - 1)) n are left",
     .min = 0,
     .max = 1024},
    at);
  f({.key = "scorer",
     .doc = "learned: a linear score of each node, Gumbel noise in training, straight-through "
            "gradient; attention: the attention a node gets from its graph; pagerank: weighted "
            "PageRank of the attention graph (Zero-TPrune)",
     .one_of = {"learned", "attention", "pagerank"}},
    scorer);
  f({.key = "temperature",
     .doc = "of the learned scorer's softmax in training",
     .min = 1e-3,
     .max = 1e3},
    temperature);
  f({.key = "propagate",
     .doc = "share of the vectors that leave which the nodes that stay get, by their attention to "
            "them (GTP-ViT); 0: none; not with the learned scorer",
     .min = 0,
     .max = 1},
    propagate);
  f({.key = "iterations", .doc = "of pagerank", .min = 1, .max = 100}, iterations);
  reference_quirk(f,
                  "reference: the authors' code: floor(keep L) of the L rows of a padded batch, "
                  "padding included and the last row always kept; rows are multiplied by 0, not "
                  "removed; noise in evaluation, too",
                  quirks);
  f.require(at == 0 || depth == "network", "at", "belongs to depth: network");
  f.require(quirks.empty() || (scorer == "learned" && depth == "attention"), "quirks",
            "belong to scorer: learned and depth: attention");
  f.require(temperature == 1 || scorer == "learned", "temperature", "belongs to scorer: learned");
  f.require(iterations == 4 || scorer == "pagerank", "iterations", "belongs to scorer: pagerank");
  f.require(propagate == 0 || scorer != "learned", "propagate",
            "needs attention weights; expected scorer: attention or pagerank");
}

void HeadRule::fields(base::FieldVisitor& f) {
  timing.fields(f);
  f({.key = "method",
     .doc = "gradual: the least important die along the schedule; static: a random choice from "
            "start on, that exchange improves until end; l0: learned hard-concrete gates until end",
     .one_of = {"gradual", "static", "l0"}},
    method);
  f({.key = "exchange",
     .doc = "share of the living heads that die and are replaced at each change: death by |sum of "
            "A dL/dA|, growth by the norm of the gradient",
     .min = 0,
     .max = 1},
    exchange);
  f({.key = "penalty",
     .doc = "l0: weight in the loss of how far the expected number of open heads is from keep",
     .min = 0,
     .max = 1e6},
    penalty);
  reference_quirk(f,
                  "reference: the authors' code: a head that is dead has zero rows in in_weight, "
                  "but biases and its share of the output projection; importance from slices of "
                  "the output after the projection",
                  quirks);
  f.require(method == "l0" || penalty == 0.1, "penalty", "belongs to method: l0");
  f.require(method != "l0" || exchange == 0, "exchange", "does not go with method: l0");
  f.require(method != "l0" || timing.end > timing.start, "end",
            "method: l0 learns between start and end; expected end after start");
  f.require(quirks.empty() || method != "l0", "quirks", "do not go with method: l0");
}

void LayerRule::fields(base::FieldVisitor& f) {
  timing.fields(f);
  f({.key = "method",
     .doc = "drop_path: in training, the branch is kept with probability keep for each graph, "
            "scaled by 1/keep (stochastic depth); learned: hard-concrete gates, of which "
            "max(1, round(keep L)) stay open from end on",
     .one_of = {"drop_path", "learned"}},
    method);
  f({.key = "branches",
     .doc = "attention, or all: feed-forward blocks, too",
     .one_of = {"attention", "all"}},
    branches);
  f({.key = "penalty",
     .doc =
         "learned: weight in the loss of how far the expected number of open branches is from keep",
     .min = 0,
     .max = 1e6},
    penalty);
  f({.key = "costs",
     .doc = "learned: of each branch, in the order of the layers: open ones hold at most keep of "
            "their sum, and not of their number; set by a budget, as FLOPs; empty: all alike",
     .min = 0,
     .max = 1e18},
    costs);
  reference_quirk(f, "reference: the authors' code: drop_path draws for each node", quirks);
  f.require(method == "learned" || penalty == 0.1, "penalty", "belongs to method: learned");
  f.require(method != "learned" || timing.end > timing.start, "end",
            "method: learned learns between start and end; expected end after start");
  f.require(quirks.empty() || method == "drop_path", "quirks", "belong to method: drop_path");
  f.require(costs.empty() || method == "learned", "costs", "belong to method: learned");
  f.require(costs.empty() || *std::max_element(costs.begin(), costs.end()) > 0, "costs",
            "are all 0; expected more");
}

void WeightRule::fields(base::FieldVisitor& f) {
  timing.fields(f);
  f({.key = "method",
     .doc = "granet: prune by magnitude along the schedule, then exchange by gradient; gmp: prune "
            "only; set, rigl: keep from start on, exchange at random or by gradient",
     .one_of = {"granet", "gmp", "set", "rigl"}},
    method);
  f({.key = "structure",
     .doc = "none: single weights; 2:4: two of four neighbours in a row; neuron: hidden units of "
            "feed-forward blocks, which exchange nothing",
     .one_of = {"none", "2:4", "neuron"}},
    structure);
  f({.key = "scope",
     .doc = "layer: keep holds in each matrix; global: over all of them",
     .one_of = {"layer", "global"}},
    scope);
  f({.key = "distribution",
     .doc = "of scope: layer: uniform; erk: matrices with fewer weights keep more "
            "(Erdos-Renyi kernel)",
     .one_of = {"uniform", "erk"}},
    distribution);
  f({.key = "regrow",
     .doc = "share of the weights exchanged at each change; falls along a cosine to 0.005 at end "
            "(rigl: to 0)",
     .min = 0,
     .max = 1},
    regrow);
  f({.key = "of", .doc = "modules, such as layer_0 or layer_0.feed_0; empty: all"}, of);
  reference_quirk(f,
                  "reference: the authors' code: the largest weights of all matrices together, "
                  "strictly above a threshold and never quite keep",
                  quirks);
  const bool exact = structure == "none";
  f.require(structure != "2:4" || !timing.keep || *timing.keep == 0.5 || *timing.keep == 1, "keep",
            "structure: 2:4 leaves half; expected 0.5");
  const bool fixed = method == "set" || method == "rigl";
  f.require(
      exact || !fixed, "method",
      fmt::format("structure: {} is pruned along the schedule; expected granet or gmp", structure));
  f.require(
      !fixed || timing.end > timing.start, "end",
      fmt::format("method: {} exchanges between start and end; expected end after start", method));
  f.require(structure != "2:4" || scope == "layer", "scope", "structure: 2:4 holds in each matrix");
  f.require(distribution == "uniform" || (scope == "layer" && exact), "distribution",
            "erk goes with scope: layer and structure: none");
  f.require(scope == "layer" || !fixed, "scope",
            fmt::format("method: {} keeps a share of each matrix; expected layer", method));
  f.require(quirks.empty() || (method == "granet" && exact), "quirks",
            "belong to method: granet and structure: none");
  f.require(quirks.empty() || timing.end >= timing.start + 2 * timing.every, "end",
            "quirks: reference prunes at the changes before end; expected two of them at least");
  f.require(regrow == 0.5 || (method != "gmp" && structure != "neuron"), "regrow",
            "is of rules that exchange; this one does not");
}

void Options::fields(base::FieldVisitor& f) {
  f({.key = "flops",
     .doc = "share of the dense model's FLOPs that the rules together leave; sets their keep",
     .min = 0,
     .max = 1},
    flops);
  f({.key = "trade_off",
     .doc = "how flops is divided: even: all rules move together; measured: by the loss that each "
            "rule costs at several keeps, on the weights when the first one starts",
     .one_of = {"even", "measured"}},
    trade_off);
  f({.key = "rules", .doc = "what becomes sparser"}, rules);
  f.require(flops || trade_off == "even", "trade_off", "divides flops, which is missing");
  f.require(!rules.empty(), "rules", "is empty; expected at least one rule");
  f.require(!flops || *flops > 0, "flops", "is 0; expected more than 0");
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const std::string at = fmt::format("rules[{}]", i);
    f.require(flops || timing_of(rules[i]).keep, at + ".keep",
              "is missing; expected a share, or sparsify.flops that sets it");
    const auto* layers = std::get_if<LayerRule>(&rules[i]);
    f.require(!flops || layers == nullptr || layers->costs.empty(), at + ".costs",
              "are set by sparsify.flops; expected none beside it");
    for (std::size_t j = 0; j < i; ++j) {
      f.require(!same_target(rules[i], rules[j]), at,
                fmt::format("a second schedule of {}: rules[{}] has one", name_of(rules[i]), j));
      f.require(!shares_rows(rules[i], rules[j]) && !shares_rows(rules[j], rules[i]), at,
                "heads with quirks: [reference] are rows of weights that the weights rule prunes, "
                "too");
      f.require(!reads_closed(rules[i], rules[j]) && !reads_closed(rules[j], rules[i]), at,
                "tokens with depth: network and a scorer by attention need the attention of every "
                "layer, of which layers with method: learned may close some; expected scorer: "
                "learned");
    }
  }
}

const Timing& timing_of(const Rule& rule) {
  return std::visit([](const auto& r) -> const Timing& { return r.timing; }, rule);
}
Timing& timing_of(Rule& rule) {
  return std::visit([](auto& r) -> Timing& { return r.timing; }, rule);
}
std::string_view name_of(const Rule& rule) {
  return std::visit([](const auto& r) { return std::decay_t<decltype(r)>::kName; }, rule);
}

}  // namespace gtrain::sparsify
