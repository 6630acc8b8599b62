#include "gtrain/sparsify/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "gtrain/base/error.h"
#include "gtrain/base/random.h"
#include "gtrain/nn/bigbird.h"
#include "gtrain/nn/encoder.h"
#include "gtrain/nn/graph_token.h"
#include "gtrain/nn/leaving.h"
#include "gtrain/nn/linear.h"
#include "gtrain/sparsify/branch_drop.h"
#include "gtrain/sparsify/head_mask.h"
#include "gtrain/sparsify/token_gate.h"

namespace gtrain::sparsify {
namespace {

template <class Rule>
Entry entry(std::string_view paper) {
  return {Rule::kName, Rule::kDoc, paper};
}

// A rule and where it stands, for messages.
class Place {
 public:
  explicit Place(std::size_t index) : at_(fmt::format("sparsify.rules[{}]", index)) {}
  [[noreturn]] void refuse(const std::string& what) const { throw base::RecipeError(at_ + what); }

 private:
  std::string at_;
};

// Attentions over nodes: not those of an encoder, which attend to other things.
std::vector<Site> node_sites(torch::nn::Module& model) {
  std::vector<std::string> encoders;
  model.apply([&](const std::string& path, torch::nn::Module& module) {
    if (dynamic_cast<nn::Encoder*>(&module) != nullptr) encoders.push_back(path + ".");
  });
  std::vector<Site> out = sites(model);
  std::erase_if(out, [&](const Site& site) {
    return std::any_of(encoders.begin(), encoders.end(),
                       [&](const std::string& path) { return site.path.starts_with(path); });
  });
  return out;
}

std::shared_ptr<TokenSelection> selection(const Site& site, const TokenRule& rule,
                                          std::int64_t first, const Place& place) {
  if (!site.gated->parts().tokens) {
    place.refuse(fmt::format(": nodes cannot leave {}, an attention over a pattern", site.path));
  }
  if (rule.scorer == "learned") {
    return std::make_shared<LearnedSelection>(site.gated->parts().width, first, rule.temperature,
                                              has_quirk(rule.quirks, "reference"));
  }
  if (rule.depth == "network" && site.gated->parts().heads == 0) {
    place.refuse(
        fmt::format(".scorer: {} needs the weights of {}, which has no heads left; "
                    "expected learned",
                    rule.scorer, site.path));
  }
  const auto* attention = dynamic_cast<const nn::Attention*>(site.module);
  if (attention == nullptr || dynamic_cast<const nn::BigBird*>(attention) != nullptr) {
    place.refuse(fmt::format(
        ".scorer: {} needs the weights of all pairs in {}, which has none; expected learned",
        rule.scorer, site.path));
  }
  const std::int64_t steps = rule.scorer == "pagerank" ? rule.iterations : 1;
  return std::make_shared<AttentionSelection>(*attention, first,
                                              AttentionSelection::Options{steps, rule.propagate});
}

// keep^exponent of the nodes are left from layer l of `layers` on, 1 the first; nothing: as before.
std::optional<double> exponent_of(const TokenRule& rule, std::size_t l, std::size_t layers) {
  if (rule.depth == "attention") return 1;
  if (rule.at > 0)
    return static_cast<std::size_t>(rule.at) == l ? std::optional(1.0) : std::nullopt;
  if (l == 1) return std::nullopt;
  return static_cast<double>(l - 1) / static_cast<double>(layers - 1);
}

void check_depth(torch::nn::Module& model, const TokenRule& rule, std::size_t layers,
                 const Place& place) {
  if (rule.depth == "attention") return;
  if (dynamic_cast<nn::Narrowing*>(&model) == nullptr) {
    place.refuse(".depth: nodes cannot leave this model's network; expected attention");
  }
  if (rule.at > static_cast<std::int64_t>(layers)) {
    place.refuse(fmt::format(".at: {}; the model has {} layers with attention", rule.at, layers));
  }
  if (rule.at == 0 && layers == 1) {
    place.refuse(".at: is missing; of one layer nodes leave before it or never, expected at: 1");
  }
}

// Tokens that stay are found by their place.
void check_order(torch::nn::Module& model, const Place& place) {
  model.apply([&](torch::nn::Module& module) {
    const auto* token = dynamic_cast<const nn::GraphToken*>(&module);
    if (token != nullptr && !token->in_front()) {
      place.refuse(
          ": the quirk port_token_sort mixes graph tokens with nodes, of which some would leave");
    }
  });
}

void attach_rule(torch::nn::Module& model, const TokenRule& rule, const Place& place) {
  check_order(model, place);
  const std::int64_t first = leading_tokens(model);
  const std::vector<Site> all = node_sites(model);
  if (all.empty()) place.refuse(": the model has no attention that tokens could leave");
  check_depth(model, rule, all.size(), place);
  const bool network = rule.depth == "network";
  const char* name = network ? "leave_gate" : "token_gate";
  for (std::size_t l = 0; l < all.size(); ++l) {
    const Site& site = all[l];
    const std::optional<double> exponent = exponent_of(rule, l + 1, all.size());
    if (!exponent) continue;
    const std::shared_ptr<TokenSelection> gate = selection(site, rule, first, place);
    gate->set_exponent(*exponent);
    gate->set_stream(stream_of(site.path + "." + name));
    site.module->register_module(name, gate);
    (network ? site.gated->leave_gate : site.gated->token_gate) = gate;
  }
}

void attach_rule(torch::nn::Module& model, const HeadRule& rule, const Place& place) {
  bool found = false;
  for (const Site& site : sites(model)) {
    const std::int64_t heads = site.gated->parts().heads;
    if (heads == 0) continue;
    const bool reference = has_quirk(rule.quirks, "reference");
    if (rule.timing.keep && !reference && kept_heads(*rule.timing.keep, heads) == heads) {
      place.refuse(fmt::format(".keep: {} of {} heads leaves all of them; expected less",
                               *rule.timing.keep, heads));
    }
    found = true;
    if (rule.method == "l0") {
      auto gate = std::make_shared<HeadConcrete>(heads);
      gate->set_stream(stream_of(site.path + ".head_gate"));
      site.module->register_module("head_gate", gate);
      site.gated->head_gate = gate;
      continue;
    }
    if (reference && dynamic_cast<nn::Attention*>(site.module) == nullptr) {
      place.refuse(
          fmt::format(".quirks: reference needs the one input projection of attention; {} "
                      "has several",
                      site.path));
    }
    auto gate = std::make_shared<HeadMask>(heads, reference);
    site.module->register_module("head_gate", gate);
    site.gated->head_gate = gate;
  }
  if (!found) place.refuse(": the model has no attention heads");
}

void attach_rule(torch::nn::Module& model, const LayerRule& rule, const Place& place) {
  const std::vector<Branch> all = branches(model, rule);
  if (all.empty()) place.refuse(": the model has no such branches");
  const auto count = static_cast<std::int64_t>(all.size());
  const bool learned = rule.method == "learned";
  if (!rule.costs.empty() && std::ssize(rule.costs) != count) {
    place.refuse(fmt::format(".costs: {} numbers for {} branches", rule.costs.size(), count));
  }
  const bool alike = rule.costs.empty();
  if (learned && alike && rule.timing.keep && kept_heads(*rule.timing.keep, count) == count) {
    place.refuse(fmt::format(".keep: {} of {} branches leaves all of them; expected less",
                             *rule.timing.keep, count));
  }
  for (const Branch& branch : all) {
    const auto put = [&](const auto& gate) {
      gate->set_stream(stream_of(branch.path));
      branch.module->register_module(branch.path.substr(branch.path.rfind('.') + 1), gate);
      *branch.gate = gate;
    };
    if (learned) {
      put(std::make_shared<BranchConcrete>());
    } else {
      put(std::make_shared<BranchDrop>(has_quirk(rule.quirks, "reference")));
    }
  }
}

void attach_rule(torch::nn::Module& model, const WeightRule& rule, const Place& place) {
  const std::vector<WeightMask::Group> groups = weight_groups(model, rule);
  for (const std::string& module : rule.of) {
    const bool named = std::any_of(groups.begin(), groups.end(), [&](const auto& g) {
      return g.name.starts_with(module + ".") || g.name == module;
    });
    if (!named) place.refuse(fmt::format(".of: {} has no such weights", module));
  }
  if (groups.empty()) {
    place.refuse(rule.structure == "neuron" ? ": the model has no feed-forward blocks"
                                            : ": the model has no weights to prune");
  }
  if (rule.structure != "2:4") return;
  for (const WeightMask::Group& g : groups) {
    const std::int64_t inputs = g.parts[0].value.size(1);
    if (inputs % 4 == 0) continue;
    place.refuse(
        fmt::format(".structure: 2:4 needs rows of whole fours; {} has rows of {}; name "
                    "others in `of`, or choose another width",
                    g.name, inputs));
  }
}

bool chosen(const WeightRule& rule, const std::string& name) {
  return rule.of.empty() || std::any_of(rule.of.begin(), rule.of.end(), [&](const auto& module) {
           return name == module || name.starts_with(module + ".");
         });
}

bool is_gate(const std::string& name) { return name.find("_gate.") != std::string::npos; }

}  // namespace

const std::vector<Entry>& catalog() {
  static const std::vector<Entry> table{
      entry<TokenRule>("Liu et al. 2024; Zero-TPrune 2024; GTP-ViT 2024"),
      entry<HeadRule>("Liu et al. 2024; Louizos et al. 2018"),
      entry<LayerRule>("Huang et al. 2016; Louizos et al. 2018"),
      entry<WeightRule>("Liu et al. 2021; Mocanu et al. 2018; Evci et al. 2020; Zhu & Gupta 2017"),
  };
  return table;
}

std::vector<Site> sites(torch::nn::Module& model) {
  std::vector<Site> out;
  model.apply([&](const std::string& path, torch::nn::Module& module) {
    if (auto* gated = dynamic_cast<nn::Gated*>(&module)) out.push_back({path, gated, &module});
  });
  return out;
}

std::vector<Branch> branches(torch::nn::Module& model, const LayerRule& rule) {
  std::vector<Branch> out;
  model.apply([&](const std::string& path, torch::nn::Module& module) {
    const std::string prefix = path.empty() ? "" : path + ".";
    auto* gated = dynamic_cast<nn::Gated*>(&module);
    if (gated != nullptr && gated->parts().heads > 0) {  // none: it is closed already
      out.push_back({prefix + "branch_gate", &gated->branch_gate, &module});
    }
    auto* feed = rule.branches == "all" ? dynamic_cast<nn::FeedGated*>(&module) : nullptr;
    if (feed != nullptr) out.push_back({prefix + "feed_gate", &feed->feed_gate, &module});
  });
  return out;
}

std::int64_t leading_tokens(torch::nn::Module& model) {
  std::int64_t count = 0;
  model.apply([&](torch::nn::Module& module) {
    if (dynamic_cast<nn::GraphToken*>(&module) != nullptr) count = 1;
  });
  return count;
}

std::vector<WeightMask::Group> weight_groups(torch::nn::Module& model, const WeightRule& rule) {
  std::vector<WeightMask::Group> out;
  if (rule.structure != "neuron") {
    for (const auto& p : model.named_parameters()) {
      const bool matrix = p.value().dim() == 2 && p.key().ends_with("weight");
      if (!matrix || is_gate(p.key()) || !p.value().requires_grad() || !chosen(rule, p.key())) {
        continue;
      }
      out.push_back({p.key(), {{p.key(), p.value(), {}}}});
    }
    return out;
  }
  model.apply([&](const std::string& path, torch::nn::Module& module) {
    std::shared_ptr<nn::Linear> in, next;
    for (const auto& child : module.named_children()) {
      if (child.key() == "feed_0") in = std::dynamic_pointer_cast<nn::Linear>(child.value());
      if (child.key() == "feed_1") next = std::dynamic_pointer_cast<nn::Linear>(child.value());
    }
    const std::string prefix = path.empty() ? "" : path + ".";
    if (!in || !next || !in->weight.requires_grad() || !chosen(rule, prefix + "feed_0")) return;
    WeightMask::Group group{prefix + "feed_0", {{prefix + "feed_0.weight", in->weight, {}}}};
    if (in->bias.defined()) group.parts.push_back({prefix + "feed_0.bias", in->bias, {}});
    group.parts.push_back({prefix + "feed_1.weight", next->weight, {}});
    out.push_back(std::move(group));
  });
  return out;
}

void attach(torch::nn::Module& model, const Options& options) {
  for (std::size_t i = 0; i < options.rules.size(); ++i) {
    if (timing_of(options.rules[i]).keep == 1.0) continue;  // the dense model
    std::visit([&](const auto& rule) { attach_rule(model, rule, Place(i)); }, options.rules[i]);
  }
}

std::uint64_t stream_of(std::string_view path) {
  std::uint64_t key = 0;
  for (const char c : path) key = base::mix(key ^ static_cast<unsigned char>(c));
  return key;
}

}  // namespace gtrain::sparsify
