#include "unit.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <tuple>

namespace gtrain::sparsify::detail {
namespace {

// Part k of a neuron's group: rows of feed_0 and its bias, columns of feed_1.
at::Tensor squares(const at::Tensor& t, bool column) {
  const at::Tensor x = t.detach().to(at::kDouble);
  if (x.dim() == 1) return x * x;
  return (x * x).sum(column ? 0 : 1);
}

}  // namespace

std::int64_t unit_count(const WeightMask::Group& group, const WeightRule& rule) {
  const at::Tensor& first = group.parts[0].value;
  return rule.structure == "neuron" ? first.size(0) : first.numel();
}

Units::Units(const WeightMask::Group& group, const WeightRule& rule)
    : neuron_(rule.structure == "neuron") {
  const at::Tensor& mask = group.parts[0].mask;
  lives_ = read_mask(neuron_ ? mask.select(1, 0) : mask);
  score = norms(group, [](const Masked& part) { return part.value; });
}

std::vector<std::int64_t> Units::living() const {
  std::vector<std::int64_t> out;
  for (std::int64_t i = 0; i < size(); ++i) {
    if (lives_[static_cast<std::size_t>(i)]) out.push_back(i);
  }
  return out;
}

std::vector<std::int64_t> Units::dead() const {
  std::vector<std::int64_t> out;
  for (std::int64_t i = 0; i < size(); ++i) {
    if (!lives_[static_cast<std::size_t>(i)]) out.push_back(i);
  }
  return out;
}

void Units::set_living(const std::vector<std::int64_t>& units) {
  std::fill(lives_.begin(), lives_.end(), false);
  for (const std::int64_t i : units) lives_[static_cast<std::size_t>(i)] = true;
}

void Units::write(WeightMask::Group& group) const {
  if (!neuron_) {
    write_mask(group.parts[0].mask, lives_);
    return;
  }
  at::Tensor unit = at::zeros({size()}, group.parts[0].mask.options());
  write_mask(unit, lives_);
  for (std::size_t k = 0; k < group.parts.size(); ++k) {
    at::Tensor& mask = group.parts[k].mask;
    const bool column = k + 1 == group.parts.size();
    mask.copy_(mask.dim() == 1 ? unit
               : column        ? unit.view({1, -1}).expand_as(mask)
                               : unit.view({-1, 1}).expand_as(mask));
  }
}

std::vector<double> Units::norms(const WeightMask::Group& group,
                                 const std::function<at::Tensor(const Masked&)>& tensor) const {
  if (!neuron_) {
    const at::Tensor t = tensor(group.parts[0]);
    return t.defined() ? magnitudes(t) : std::vector<double>(lives_.size(), 0.0);
  }
  at::Tensor sum = at::zeros({size()}, at::kDouble);
  for (std::size_t k = 0; k < group.parts.size(); ++k) {
    const at::Tensor t = tensor(group.parts[k]);
    if (t.defined()) sum += squares(t, k + 1 == group.parts.size());
  }
  return magnitudes(sum.sqrt());
}

void keep_strongest_of_all(std::vector<Units>& groups, std::int64_t count) {
  std::vector<std::tuple<double, std::size_t, std::int64_t>> all;  // -score, group, unit
  std::vector<std::vector<std::int64_t>> stay(groups.size());
  for (std::size_t g = 0; g < groups.size(); ++g) {
    std::vector<std::int64_t> living = groups[g].living();
    if (living.empty()) continue;
    const auto strongest = std::max_element(living.begin(), living.end(), [&](auto a, auto b) {
      return groups[g].score[static_cast<std::size_t>(a)] <
             groups[g].score[static_cast<std::size_t>(b)];
    });
    stay[g].push_back(*strongest);
    --count;
    for (const std::int64_t u : living) {
      if (u != *strongest) all.emplace_back(-groups[g].score[static_cast<std::size_t>(u)], g, u);
    }
  }
  std::sort(all.begin(), all.end());
  for (std::size_t i = 0; i < all.size() && static_cast<std::int64_t>(i) < count; ++i) {
    stay[std::get<1>(all[i])].push_back(std::get<2>(all[i]));
  }
  for (std::size_t g = 0; g < groups.size(); ++g) groups[g].set_living(stay[g]);
}

std::vector<double> magnitudes(const at::Tensor& t) {
  if (!t.defined()) return {};
  const at::Tensor x = t.detach().to(at::kDouble).abs().contiguous();
  return {x.const_data_ptr<double>(), x.const_data_ptr<double>() + x.numel()};
}

std::vector<bool> read_mask(const at::Tensor& mask) {
  const std::vector<double> m = magnitudes(mask);
  std::vector<bool> out(m.size());
  std::transform(m.begin(), m.end(), out.begin(), [](double v) { return v != 0; });
  return out;
}

void write_mask(at::Tensor& mask, const std::vector<bool>& lives) {
  const at::Tensor bytes = at::empty(mask.sizes(), at::kByte);
  auto* p = bytes.mutable_data_ptr<std::uint8_t>();
  for (std::size_t i = 0; i < lives.size(); ++i) p[i] = lives[i] ? 1 : 0;
  mask.copy_(bytes);
}

}  // namespace gtrain::sparsify::detail
