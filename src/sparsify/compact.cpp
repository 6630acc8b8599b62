#include "gtrain/sparsify/compact.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <memory>
#include <numeric>
#include <utility>

#include "gtrain/base/error.h"
#include "gtrain/nn/attention.h"
#include "gtrain/nn/linear.h"
#include "gtrain/sparsify/branch_drop.h"
#include "gtrain/sparsify/head_mask.h"
#include "gtrain/sparsify/plan.h"

namespace gtrain::sparsify {
namespace {

using Numbers = std::vector<std::int64_t>;

std::string below(const std::string& path, const char* name) {
  return path.empty() ? name : path + "." + name;
}

Numbers ascending(std::int64_t count) {
  Numbers out(static_cast<std::size_t>(count));
  std::iota(out.begin(), out.end(), 0);
  return out;
}

bool is_closed(const std::shared_ptr<nn::BranchGate>& gate) {
  return gate && gate->closed(nn::Context{});
}

bool has_head_mask_of_reference(const nn::Gated& gated) {
  const auto* mask = dynamic_cast<const HeadMask*>(gated.head_gate.get());
  return mask != nullptr && mask->reference();
}

// The authors' dead heads have rows of 0 in the input projection, but biases: all their values are
// the bias, whatever attends to what, and so is the attention's output there.
void keep_constants(nn::Attention& attention, std::int64_t heads, const Numbers& alive) {
  const std::int64_t inner = attention.out_weight.size(1);
  at::Tensor dead = at::ones({heads}, attention.out_weight.options());
  for (const std::int64_t h : alive) dead[h] = 0;
  const at::Tensor values =
      attention.in_bias.slice(0, 2 * inner) * dead.repeat_interleave(inner / heads);
  attention.out_bias.add_(at::mv(attention.out_weight, values));
}

void drop(torch::nn::Module& module, const char* name) {
  if (module.named_children().contains(name)) module.unregister_module(name);
}

// Nothing attends here any more, so no nodes are chosen.
void drop_choice(const Site& site) {
  site.gated->token_gate.reset();
  drop(*site.module, "token_gate");
}

void compact_attention(const Site& site, std::vector<Cut>& cuts) {
  const std::int64_t heads = site.gated->parts().heads;
  const bool gone = is_closed(site.gated->branch_gate);
  const Numbers alive = gone ? Numbers{} : living_heads(*site.gated);
  const auto left = static_cast<std::int64_t>(alive.size());
  if (auto* attention = dynamic_cast<nn::Attention*>(site.module); attention && left < heads) {
    if (!gone && has_head_mask_of_reference(*site.gated)) keep_constants(*attention, heads, alive);
    attention->keep_heads(alive);
    cuts.push_back({site.path, "heads", heads, left});
  }
  if (gone && dynamic_cast<nn::Attention*>(site.module) != nullptr) drop_choice(site);
  site.gated->head_gate.reset();
  site.gated->branch_gate.reset();
  drop(*site.module, "head_gate");
  drop(*site.module, "branch_gate");
}

// feed_0 and feed_1 of a module; both null where it has none.
struct Feed {
  std::string path;
  std::shared_ptr<nn::Linear> in, out;

  std::int64_t units() const { return in->weight.size(0); }
  void keep(const Numbers& units) const {
    const at::NoGradGuard guard;
    const at::Tensor which = at::tensor(units, at::kLong).to(in->weight.device());
    in->weight.set_data(in->weight.detach().index_select(0, which));
    if (in->bias.defined()) in->bias.set_data(in->bias.detach().index_select(0, which));
    out->weight.set_data(out->weight.detach().index_select(1, which));
  }
};

std::vector<std::pair<Feed, torch::nn::Module*>> feeds(torch::nn::Module& model) {
  std::vector<std::pair<Feed, torch::nn::Module*>> out;
  model.apply([&](const std::string& path, torch::nn::Module& module) {
    Feed feed{below(path, "feed_0"), nullptr, nullptr};
    for (const auto& child : module.named_children()) {
      if (child.key() == "feed_0") feed.in = std::dynamic_pointer_cast<nn::Linear>(child.value());
      if (child.key() == "feed_1") feed.out = std::dynamic_pointer_cast<nn::Linear>(child.value());
    }
    if (feed.in && feed.out) out.emplace_back(std::move(feed), &module);
  });
  return out;
}

// Units that put out something which some weight reads; activations have act(0) = 0.
Numbers living(const Feed& feed) {
  at::Tensor speaks = feed.in->weight.detach().ne(0).any(1);
  if (feed.in->bias.defined()) speaks = speaks.logical_or(feed.in->bias.detach().ne(0));
  const at::Tensor alive = speaks.logical_and(feed.out->weight.detach().ne(0).any(0)).cpu();
  Numbers out;
  for (std::int64_t u = 0; u < alive.size(0); ++u) {
    if (alive[u].item<bool>()) out.push_back(u);
  }
  return out;
}

void silence(const Feed& feed) {
  feed.keep({0});
  feed.out->weight.zero_();
  if (feed.out->bias.defined()) feed.out->bias.zero_();
}

void compact_feed(const Feed& feed, torch::nn::Module& module, std::vector<Cut>& cuts) {
  const std::int64_t units = feed.units();
  auto* gated = dynamic_cast<nn::FeedGated*>(&module);
  const bool gone = gated != nullptr && is_closed(gated->feed_gate);
  if (gone) {
    silence(feed);
  } else {
    Numbers alive = living(feed);
    if (alive.empty()) alive.push_back(0);
    if (static_cast<std::int64_t>(alive.size()) < units) feed.keep(alive);
  }
  if (feed.units() < units) cuts.push_back({feed.path, "units", units, feed.units()});
  if (gated == nullptr) return;
  gated->feed_gate.reset();
  drop(module, "feed_gate");
}

void check_sites(const std::vector<Site>& all) {
  for (const Site& site : all) {
    if (dynamic_cast<nn::Attention*>(site.module) != nullptr) continue;
    const std::int64_t heads = site.gated->parts().heads;
    const bool whole = static_cast<std::int64_t>(living_heads(*site.gated).size()) == heads;
    if (whole && !is_closed(site.gated->branch_gate)) continue;
    throw base::RecipeError(
        fmt::format("{}: heads of this attention cannot be cut out one by one; its run stays as it "
                    "is, masked",
                    site.path));
  }
}

}  // namespace

Numbers living_heads(const nn::Gated& gated) {
  const std::int64_t heads = gated.parts().heads;
  if (const auto* mask = dynamic_cast<const HeadMask*>(gated.head_gate.get())) return mask->alive();
  const auto* concrete = dynamic_cast<const HeadConcrete*>(gated.head_gate.get());
  if (concrete == nullptr || !concrete->settled()) return ascending(heads);
  Numbers out;
  for (std::int64_t h = 0; h < heads; ++h) {
    if (concrete->open[h].item<double>() != 0) out.push_back(h);
  }
  return out;
}

std::vector<Cut> dead_heads(torch::nn::Module& model) {
  std::vector<Cut> out;
  for (const Site& site : sites(model)) {
    const std::int64_t heads = site.gated->parts().heads;
    const auto left = static_cast<std::int64_t>(living_heads(*site.gated).size());
    if (left < heads) out.push_back({site.path, "heads", heads, left});
  }
  return out;
}

std::vector<Cut> compact(torch::nn::Module& model) {
  const at::NoGradGuard guard;
  const std::vector<Site> all = sites(model);
  check_sites(all);
  std::vector<Cut> cuts;
  for (const Site& site : all) compact_attention(site, cuts);
  for (const auto& [feed, module] : feeds(model)) compact_feed(feed, *module, cuts);
  return cuts;
}

void fit(torch::nn::Module& model, const std::map<std::string, at::Tensor>& tensors) {
  const auto find = [&](const std::string& name) {
    const auto it = tensors.find(name);
    return it == tensors.end() ? at::Tensor() : it->second;
  };
  for (const Site& site : sites(model)) {
    auto* attention = dynamic_cast<nn::Attention*>(site.module);
    const at::Tensor given = find(below(site.path, "out_weight"));
    if (attention == nullptr || !given.defined() || given.dim() != 2) continue;
    const std::int64_t heads = site.gated->parts().heads;
    const std::int64_t inner = attention->out_weight.size(1);
    if (heads == 0 || given.size(1) >= inner || given.size(1) % (inner / heads) != 0) continue;
    attention->keep_heads(ascending(given.size(1) / (inner / heads)));
    if (given.size(1) == 0) drop_choice(site);
  }
  for (const auto& [feed, _] : feeds(model)) {
    const at::Tensor given = find(feed.path + ".weight");
    if (!given.defined() || given.dim() != 2) continue;
    if (given.size(0) > 0 && given.size(0) < feed.units()) feed.keep(ascending(given.size(0)));
  }
}

}  // namespace gtrain::sparsify
