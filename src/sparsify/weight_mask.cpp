#include "gtrain/sparsify/weight_mask.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "detail/quad.h"
#include "detail/unit.h"
#include "gtrain/base/random.h"

namespace gtrain::sparsify {
namespace {

using detail::Units;

std::int64_t rounded(double density, std::int64_t n) {
  return std::clamp<std::int64_t>(std::llround(density * static_cast<double>(n)), 1, n);
}

// The `count` first of `from` in the order of `before`; ties by index, as `from` ascends.
template <class Before>
std::vector<std::int64_t> first_of(std::vector<std::int64_t> from, std::int64_t count,
                                   Before before) {
  std::stable_sort(from.begin(), from.end(), before);
  from.resize(static_cast<std::size_t>(std::min<std::int64_t>(count, std::ssize(from))));
  return from;
}

void keep_strongest(Units& units, std::int64_t count) {
  const auto& score = units.score;
  std::vector<std::int64_t> living = units.living();
  if (std::ssize(living) <= count) return;
  living = first_of(std::move(living), count, [&](auto a, auto b) {
    return score[static_cast<std::size_t>(a)] > score[static_cast<std::size_t>(b)];
  });
  units.set_living(living);
}

}  // namespace

WeightMask::WeightMask(const WeightRule& rule, std::vector<Group> groups)
    : rule_(rule), groups_(std::move(groups)) {
  for (Group& group : groups_) {
    for (Masked& part : group.parts) {
      if (!part.mask.defined()) part.mask = at::ones_like(part.value.detach());
    }
  }
}

std::vector<std::int64_t> WeightMask::counts(double density) const {
  std::vector<std::int64_t> out;
  if (rule_.distribution == "erk") {
    std::vector<std::pair<std::int64_t, std::int64_t>> shapes;
    for (const Group& g : groups_) {
      shapes.emplace_back(g.parts[0].value.size(0), g.parts[0].value.size(1));
    }
    const std::vector<double> each = erk_densities(shapes, density);
    for (std::size_t i = 0; i < groups_.size(); ++i) {
      out.push_back(rounded(each[i], groups_[i].parts[0].value.numel()));
    }
    return out;
  }
  for (const Group& g : groups_) out.push_back(rounded(density, detail::unit_count(g, rule_)));
  return out;
}

void WeightMask::draw(double density, std::uint64_t key) {
  const std::vector<std::int64_t> count = counts(density);
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    Units units(groups_[i], rule_);
    base::Random random(base::mix(key + i));
    std::vector<std::int64_t> order = random.permutation(units.size());
    order.resize(static_cast<std::size_t>(count[i]));
    units.set_living(order);
    units.write(groups_[i]);
  }
  apply();
}

void WeightMask::prune(double density) {
  if (pairs()) {
    for (Group& g : groups_) detail::halve_quads(g.parts[0], density);
    apply();
    return;
  }
  if (rule_.scope == "layer") {
    const std::vector<std::int64_t> count = counts(density);
    for (std::size_t i = 0; i < groups_.size(); ++i) {
      Units units(groups_[i], rule_);
      keep_strongest(units, count[i]);
      units.write(groups_[i]);
    }
    apply();
    return;
  }
  std::vector<Units> all;
  std::int64_t total = 0;
  for (const Group& g : groups_) total += all.emplace_back(g, rule_).size();
  detail::keep_strongest_of_all(all, rounded(density, total));
  for (std::size_t i = 0; i < groups_.size(); ++i) all[i].write(groups_[i]);
  apply();
}

void WeightMask::exchange(double share, const Gradient& gradient, std::uint64_t key) {
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    Group& g = groups_[i];
    if (pairs()) {
      detail::exchange_in_quads(g.parts[0], share, gradient(g.parts[0].name));
      continue;
    }
    Units units(g, rule_);
    const std::vector<std::int64_t> living = units.living();
    const auto count = std::llround(std::ceil(share * static_cast<double>(living.size())));
    const auto& score = units.score;
    std::vector<std::int64_t> stay =
        first_of(living, std::ssize(living) - count, [&](auto a, auto b) {
          return score[static_cast<std::size_t>(a)] > score[static_cast<std::size_t>(b)];
        });
    std::vector<double> growth;
    if (rule_.method == "set") {
      base::Random random(base::mix(key + i));
      growth.resize(static_cast<std::size_t>(units.size()));
      for (double& v : growth) v = random.uniform();
    } else {
      growth = units.norms(g, [&](const Masked& part) { return gradient(part.name); });
    }
    units.set_living(stay);
    const std::vector<std::int64_t> born = first_of(units.dead(), count, [&](auto a, auto b) {
      return growth[static_cast<std::size_t>(a)] > growth[static_cast<std::size_t>(b)];
    });
    stay.insert(stay.end(), born.begin(), born.end());
    units.set_living(stay);
    units.write(g);
  }
  apply();
}

void WeightMask::prune_as_reference(double density) {
  std::vector<double> all;
  std::vector<std::vector<double>> each;
  for (const Group& g : groups_) {
    each.push_back(detail::magnitudes(g.parts[0].value));
    all.insert(all.end(), each.back().begin(), each.back().end());
  }
  const auto keep = static_cast<std::int64_t>(static_cast<double>(all.size()) * density);
  if (keep < 1) return;
  std::nth_element(all.begin(), all.begin() + (keep - 1), all.end(), std::greater<>());
  const double threshold = all[static_cast<std::size_t>(keep - 1)];
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    std::vector<bool> lives(each[i].size());
    for (std::size_t k = 0; k < lives.size(); ++k) lives[k] = each[i][k] > threshold;
    detail::write_mask(groups_[i].parts[0].mask, lives);
  }
  apply();
}

void WeightMask::exchange_as_reference(double share, const Gradient& gradient) {
  for (Group& g : groups_) {
    Masked& part = g.parts[0];
    std::vector<bool> lives = detail::read_mask(part.mask);
    const std::vector<double> magnitude = detail::magnitudes(part.value);
    const auto living = std::count(lives.begin(), lives.end(), true);
    const auto removed = std::llround(std::ceil(share * static_cast<double>(living)));
    if (removed == 0) continue;
    std::vector<double> sorted = magnitude;
    const auto last = std::ssize(lives) - living + removed - 1;
    std::nth_element(sorted.begin(), sorted.begin() + last, sorted.end());
    const double threshold = sorted[static_cast<std::size_t>(last)];
    for (std::size_t k = 0; k < lives.size(); ++k) lives[k] = magnitude[k] > threshold;
    const auto born = living - std::count(lives.begin(), lives.end(), true);
    std::vector<double> growth = detail::magnitudes(gradient(part.name));
    std::vector<std::int64_t> dead(lives.size());
    std::iota(dead.begin(), dead.end(), std::int64_t{0});
    std::erase_if(dead, [&](std::int64_t k) { return lives[static_cast<std::size_t>(k)]; });
    for (const std::int64_t k : first_of(dead, born, [&](auto a, auto b) {
           return growth[static_cast<std::size_t>(a)] > growth[static_cast<std::size_t>(b)];
         })) {
      lives[static_cast<std::size_t>(k)] = true;
    }
    detail::write_mask(part.mask, lives);
  }
  apply();
}

void WeightMask::apply() {
  const at::NoGradGuard guard;
  for (Group& g : groups_) {
    for (Masked& part : g.parts) part.value.mul_(part.mask);
  }
}

double WeightMask::density() const {
  std::int64_t living = 0, all = 0;
  for (const Group& g : groups_) {
    const Units units(g, rule_);
    living += std::ssize(units.living());
    all += units.size();
  }
  return static_cast<double>(living) / static_cast<double>(std::max<std::int64_t>(1, all));
}

std::vector<double> erk_densities(const std::vector<std::pair<std::int64_t, std::int64_t>>& shapes,
                                  double density) {
  std::vector<double> out(shapes.size(), 1.0);
  std::vector<bool> full(shapes.size(), false);
  for (;;) {
    double wanted = 0, offered = 0;
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      const double n = static_cast<double>(shapes[i].first) * static_cast<double>(shapes[i].second);
      wanted += density * n - (full[i] ? n : 0);
      if (!full[i]) offered += static_cast<double>(shapes[i].first + shapes[i].second);
    }
    if (offered <= 0) return out;
    const double scale = std::max(0.0, wanted) / offered;
    bool changed = false;
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      if (full[i]) continue;
      const auto rows = static_cast<double>(shapes[i].first);
      const auto columns = static_cast<double>(shapes[i].second);
      out[i] = scale * (rows + columns) / (rows * columns);
      if (out[i] <= 1) continue;
      out[i] = 1;
      full[i] = changed = true;
    }
    if (!changed) return out;
  }
}

}  // namespace gtrain::sparsify
