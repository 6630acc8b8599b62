#include "gtrain/sparsify/sparsity.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>

#include "detail/driver.h"
#include "gtrain/base/error.h"

namespace gtrain::sparsify {

Sparsity::Sparsity(torch::nn::Module& model, const Options& options, const Clock& clock) {
  for (std::size_t i = 0; i < options.rules.size(); ++i) {
    const Rule& rule = options.rules[i];
    if (timing_of(rule).keep == 1.0) continue;
    drivers_.push_back(std::visit([&](const auto& r) { return drive(model, r, clock); }, rule));
    const Schedule& schedule = drivers_.back()->schedule();
    const std::int64_t last = schedule.end();
    if (clock.updates > 0 && last > clock.updates) {
      throw base::RecipeError(fmt::format(
          "sparsify.rules[{}]: {} would reach its keep after {} updates; the run has {} (unit: "
          "epoch counts {} each)",
          i, name_of(rule), last, clock.updates, clock.updates_per_epoch));
    }
  }
}

Sparsity::~Sparsity() = default;

void Sparsity::begin(std::int64_t updates) {
  if (!begun_ && updates == 0) {
    const Slots none = [](const std::string&) { return std::vector<at::Tensor>(); };
    for (const auto& driver : drivers_) driver->after_update(0, none);
  }
  begun_ = true;
  for (const auto& driver : drivers_) driver->begin(updates);
}

at::Tensor Sparsity::penalty() const {
  at::Tensor sum;
  for (const auto& driver : drivers_) {
    const at::Tensor own = driver->penalty();
    if (own.defined()) sum = sum.defined() ? sum + own : own;
  }
  return sum;
}

void Sparsity::before_update(std::int64_t updates) {
  for (const auto& driver : drivers_) driver->before_update(updates);
}

void Sparsity::after_update(std::int64_t updates, const Slots& slots) {
  // All of it before any mask holds: what slept may have weights that another rule prunes.
  for (const auto& driver : drivers_) driver->restore(slots);
  for (const auto& driver : drivers_) driver->after_update(updates, slots);
}

std::int64_t Sparsity::first_start() const {
  std::int64_t first = 0;
  for (std::size_t i = 0; i < drivers_.size(); ++i) {
    const std::int64_t start = drivers_[i]->schedule().start();
    first = i == 0 ? start : std::min(first, start);
  }
  return first;
}

bool Sparsity::settled(std::int64_t updates) const {
  return std::all_of(drivers_.begin(), drivers_.end(),
                     [&](const auto& d) { return d->schedule().settled(updates); });
}

std::map<std::string, at::Tensor> Sparsity::state() const {
  std::map<std::string, at::Tensor> out;
  for (std::size_t i = 0; i < drivers_.size(); ++i) {
    for (const auto& [name, tensor] : drivers_[i]->state()) {
      out[fmt::format("{}.{}", i, name)] = tensor;
    }
  }
  return out;
}

void Sparsity::load_state(const std::map<std::string, at::Tensor>& state) {
  for (auto& [name, tensor] : this->state()) {
    const auto it = state.find(name);
    if (it == state.end() || it->second.sizes() != tensor.sizes()) {
      throw base::DataError(fmt::format("sparsity state: {} {}", name,
                                        it == state.end() ? "is missing" : "has another shape"));
    }
    at::Tensor own = tensor;
    own.copy_(it->second);
  }
}

}  // namespace gtrain::sparsify
