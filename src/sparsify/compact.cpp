#include "gtrain/sparsify/compact.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <utility>

#include "detail/zero_weight.h"
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

Cut cut_of_heads(const Site& site, std::int64_t left) {
  Cut cut{site.path, "heads", site.gated->parts().heads, left, {site.path}};
  cut.gone = 1 - static_cast<double>(left) / static_cast<double>(cut.before);
  for (const nn::Gated::HeadSlices& slices : site.gated->head_slices()) {
    const std::string name = below(site.path, slices.name.c_str());
    const std::string module = name.substr(0, name.rfind('.'));
    const bool matrix = slices.value.dim() == 2;
    if (matrix && module != site.path) cut.modules.push_back(module);
    cut.parameters += slices.value.numel() / cut.before * (cut.before - left);
  }
  for (const auto& p : site.module->named_parameters()) {
    const bool biased = p.key() == "out_bias" || p.key() == "out.bias";
    if (left == 0 && biased) cut.parameters += p.value().numel();  // of no use without heads
  }
  return cut;
}

void compact_attention(const Site& site, std::vector<Cut>& cuts) {
  const std::int64_t heads = site.gated->parts().heads;
  const bool gone = is_closed(site.gated->branch_gate);
  const Numbers alive = gone ? Numbers{} : living_heads(*site.gated);
  const auto left = static_cast<std::int64_t>(alive.size());
  if (left < heads) {
    auto* attention = dynamic_cast<nn::Attention*>(site.module);
    if (attention != nullptr && !gone && has_head_mask_of_reference(*site.gated)) {
      keep_constants(*attention, heads, alive);
    }
    cuts.push_back(cut_of_heads(site, left));
    site.gated->keep_heads(alive);
  }
  if (gone) drop_choice(site);
  site.gated->head_gate.reset();
  site.gated->branch_gate.reset();
  drop(*site.module, "head_gate");
  drop(*site.module, "branch_gate");
}

// feed_0 and feed_1 of a module; both null where it has none.
struct Feed {
  std::string parent, path;
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
    Feed feed{path, below(path, "feed_0"), nullptr, nullptr};
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
  const std::int64_t each =
      feed.in->weight.size(1) + feed.out->weight.size(0) + (feed.in->bias.defined() ? 1 : 0);
  auto* gated = dynamic_cast<nn::FeedGated*>(&module);
  const bool gone = gated != nullptr && is_closed(gated->feed_gate);
  if (gone) {
    silence(feed);
  } else {
    Numbers alive = living(feed);
    if (alive.empty()) alive.push_back(0);
    if (static_cast<std::int64_t>(alive.size()) < units) feed.keep(alive);
  }
  if (feed.units() < units) {
    const std::int64_t dead = units - feed.units();
    cuts.push_back({.path = feed.path,
                    .what = "units",
                    .before = units,
                    .after = feed.units(),
                    .modules = {feed.path, below(feed.parent, "feed_1")},
                    .gone = static_cast<double>(dead) / static_cast<double>(units),
                    .parameters = dead * each});
  }
  if (gated == nullptr) return;
  gated->feed_gate.reset();
  drop(module, "feed_gate");
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
    if (left < heads) out.push_back(cut_of_heads(site, left));
  }
  return out;
}

std::vector<Cut> compact(torch::nn::Module& model) {
  const at::NoGradGuard guard;
  const detail::Uncut before = detail::uncut(model);
  const std::vector<Site> all = sites(model);
  std::vector<Cut> cuts;
  for (const Site& site : all) compact_attention(site, cuts);
  for (const auto& [feed, module] : feeds(model)) compact_feed(feed, *module, cuts);
  detail::leave_zeros_out(model, before, cuts);
  return cuts;
}

std::int64_t zeros_left_out(torch::nn::Module& model) {
  std::int64_t sum = 0;
  for (const auto& [_, matrix] : detail::uncut(model).matrices) sum += matrix.zeros;
  return sum;
}

void fit(torch::nn::Module& model, const std::map<std::string, at::Tensor>& tensors) {
  const auto find = [&](const std::string& name) {
    const auto it = tensors.find(name);
    return it == tensors.end() ? at::Tensor() : it->second;
  };
  for (const Site& site : sites(model)) {
    const nn::Gated::HeadSlices slices = site.gated->head_slices().front();
    const at::Tensor given = find(below(site.path, slices.name.c_str()));
    if (!given.defined() || given.dim() != slices.value.dim()) continue;
    const std::int64_t blocks = slices.stacks * site.gated->parts().heads;
    const std::int64_t inner = slices.value.size(slices.dim), left = given.size(slices.dim);
    if (blocks == 0 || left >= inner || left % (inner / blocks * slices.stacks) != 0) continue;
    site.gated->keep_heads(ascending(left / (inner / blocks * slices.stacks)));
    if (left == 0) drop_choice(site);
  }
  for (const auto& [feed, _] : feeds(model)) {
    const at::Tensor given = find(feed.path + ".weight");
    if (!given.defined() || given.dim() != 2) continue;
    if (given.size(0) > 0 && given.size(0) < feed.units()) feed.keep(ascending(given.size(0)));
  }
  detail::mark_as_saved(model, tensors);
}

}  // namespace gtrain::sparsify
