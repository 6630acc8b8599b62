#include "gtrain/sparsify/census.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/count_nonzero.h>

#include <algorithm>
#include <numeric>
#include <optional>

#include "gtrain/sparsify/branch_drop.h"
#include "gtrain/sparsify/head_mask.h"
#include "gtrain/sparsify/plan.h"

namespace gtrain::sparsify {
namespace {

std::vector<double> numbers(const at::Tensor& t) {
  const at::Tensor x = t.detach().to(at::kDouble).contiguous();
  return {x.const_data_ptr<double>(), x.const_data_ptr<double>() + x.numel()};
}

// Gates that still learn are open, however small their value.
void read(const HardConcrete& gate, Switches& out) {
  for (const double open : numbers(gate.open)) out.open.push_back(open != 0);
  out.probability = numbers(gate.expected());
}

std::string below(const std::string& path, const char* name) {
  return path.empty() ? name : path + "." + name;
}

}  // namespace

std::vector<Switches> switches(torch::nn::Module& model) {
  std::vector<Switches> out;
  for (const Site& site : sites(model)) {
    Switches heads{below(site.path, "heads"), true, {}};
    if (const auto* mask = dynamic_cast<HeadMask*>(site.gated->head_gate.get())) {
      for (const double open : numbers(mask->mask)) heads.open.push_back(open != 0);
    } else if (const auto* gate = dynamic_cast<HeadConcrete*>(site.gated->head_gate.get())) {
      read(*gate, heads);
    }
    if (!heads.open.empty()) out.push_back(std::move(heads));
  }
  LayerRule all;
  all.branches = "all";
  for (const Branch& branch : branches(model, all)) {
    const auto* gate = dynamic_cast<BranchConcrete*>(branch.gate->get());
    if (gate == nullptr) continue;
    const bool feed = branch.path.ends_with("feed_gate");
    const std::size_t dot = branch.path.rfind('.');
    const std::string module = dot == std::string::npos ? "" : branch.path.substr(0, dot);
    Switches one{feed ? below(module, "feed") : module, false, {}};
    read(*gate, one);
    out.push_back(std::move(one));
  }
  return out;
}

std::vector<Density> densities(torch::nn::Module& model, const Options& options) {
  std::vector<Density> out;
  for (const Rule& rule : options.rules) {
    const auto* weights = std::get_if<WeightRule>(&rule);
    if (weights == nullptr || timing_of(rule).keep == 1.0) continue;
    for (const WeightMask::Group& group : weight_groups(model, *weights)) {
      for (const Masked& part : group.parts) {
        if (part.value.dim() != 2) continue;
        out.push_back({part.name, at::count_nonzero(part.value.detach()).item<std::int64_t>(),
                       part.value.numel()});
      }
    }
  }
  return out;
}

// Numbers the nodes that reach the first gate one after another, also where rows have left before.
struct TokenWatch::Log {
  std::int64_t first = 0;                              // graph tokens in front of a graph
  std::optional<std::vector<std::int64_t>> here = {};  // nodes of the rows now; a graph token: -1
  std::vector<std::int64_t> nodes_of = {};             // of each graph that reach the first gate
  std::vector<Choice> choices = {};

  void start(const at::Tensor& graph_start) {
    if (here) return;
    const at::Tensor starts = graph_start.contiguous();
    const auto* start = starts.const_data_ptr<std::int64_t>();
    here.emplace();
    nodes_of.clear();
    std::int64_t node = 0;
    for (std::int64_t g = 0; g + 1 < starts.size(0); ++g) {
      for (std::int64_t r = start[g]; r < start[g + 1]; ++r) {
        here->push_back(r < start[g] + first ? -1 : node++);
      }
      nodes_of.push_back(std::max<std::int64_t>(0, start[g + 1] - start[g] - first));
    }
  }

  // Of the rows that stay, as numbers of rows: their nodes.
  std::vector<std::int64_t> nodes(const at::Tensor& rows) const {
    std::vector<std::int64_t> out;
    const auto* row = rows.const_data_ptr<std::int64_t>();
    for (std::int64_t i = 0; i < rows.numel(); ++i) {
      out.push_back((*here)[static_cast<std::size_t>(row[i])]);
    }
    return out;
  }
};

namespace {

// In front of a gate: lets it choose and writes down what it chose.
class Listener final : public nn::TokenGate {
 public:
  Listener(std::string of, std::shared_ptr<nn::TokenGate> gate, bool for_good,
           std::shared_ptr<TokenWatch::Log> log)
      : of_(std::move(of)), gate_(std::move(gate)), for_good_(for_good), log_(std::move(log)) {}

  std::optional<nn::KeptRows> choose(const nn::Candidates& rows, nn::Context& context) override {
    log_->start(rows.input.graph_start);
    std::optional<nn::KeptRows> kept = gate_->choose(rows, context);
    if (!kept || !kept->rows.index.defined()) {
      log_->choices.push_back({of_, {}, true});
      return kept;
    }
    const std::vector<std::int64_t> nodes = log_->nodes(kept->rows.index.contiguous());
    TokenWatch::Choice choice{of_, {}, false};
    for (const std::int64_t node : nodes) {
      if (node >= 0) choice.stayed.push_back(node);
    }
    log_->choices.push_back(std::move(choice));
    if (for_good_) log_->here = nodes;
    return kept;
  }
  bool reads_weights() const override { return gate_->reads_weights(); }
  bool adds() const override { return gate_->adds(); }

 private:
  std::string of_;
  std::shared_ptr<nn::TokenGate> gate_;
  bool for_good_;
  std::shared_ptr<TokenWatch::Log> log_;
};

}  // namespace

TokenWatch::TokenWatch(torch::nn::Module& model) : log_(std::make_shared<Log>()) {
  log_->first = leading_tokens(model);
  const auto listen = [&](const std::string& of, std::shared_ptr<nn::TokenGate>& gate,
                          bool for_good) {
    if (!gate) return;
    places_.emplace_back(&gate, gate);
    gate = std::make_shared<Listener>(of, gate, for_good, log_);
  };
  for (const Site& site : sites(model)) {
    listen(site.path, site.gated->leave_gate, true);
    listen(site.path, site.gated->token_gate, false);
  }
}

TokenWatch::~TokenWatch() {
  for (auto& [place, gate] : places_) *place = gate;
}

std::vector<TokenWatch::Choice> TokenWatch::take(const at::Tensor& graph_start) {
  log_->here.reset();
  std::vector<Choice> out = std::exchange(log_->choices, {});
  const at::Tensor starts = graph_start.contiguous();
  const auto* start = starts.const_data_ptr<std::int64_t>();
  std::vector<std::int64_t> number, absent;  // of the nodes at the first gate, in the batch
  for (std::size_t g = 0; g < log_->nodes_of.size(); ++g) {
    // Models that read a part of a graph read its last nodes.
    const std::int64_t from = start[g + 1] - log_->nodes_of[g];
    for (std::int64_t i = start[g]; i < start[g + 1]; ++i)
      (i < from ? absent : number).push_back(i);
  }
  for (Choice& choice : out) {
    for (std::int64_t& node : choice.stayed) node = number[static_cast<std::size_t>(node)];
    choice.absent = absent;
  }
  return out;
}

}  // namespace gtrain::sparsify
