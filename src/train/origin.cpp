#include "gtrain/train/origin.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/isfinite.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "gtrain/base/durable.h"
#include "gtrain/base/error.h"
#include "gtrain/sparsify/compact.h"
#include "gtrain/train/checkpoint.h"
#include "predict.h"

namespace gtrain::train {
namespace {

namespace fs = std::filesystem;

bool inside(std::string_view tensor, std::string_view module) {
  return tensor.starts_with(module) &&
         (tensor.size() == module.size() || tensor[module.size()] == '.');
}

bool in_any(std::string_view tensor, const std::vector<std::string>& modules) {
  return std::any_of(modules.begin(), modules.end(),
                     [&](const std::string& m) { return inside(tensor, m); });
}

// The outermost modules of a model, for messages.
std::string modules_of(const NamedTensors& tensors) {
  std::vector<std::string> names;
  for (const auto& [name, _] : tensors) {
    std::string first = name.substr(0, name.find('.'));
    if (names.empty() || names.back() != first) names.push_back(std::move(first));
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

void check_modules(const NamedTensors& own, const char* key,
                   const std::vector<std::string>& modules) {
  for (std::size_t i = 0; i < modules.size(); ++i) {
    const bool there = std::any_of(own.begin(), own.end(), [&](const auto& tensor) {
      return inside(tensor.first, modules[i]);
    });
    if (there) continue;
    throw base::RecipeError(fmt::format("init.{}[{}]: {}: the model has no such module; known: {}",
                                        key, i, modules[i], modules_of(own)));
  }
}

NamedTensors tensors_at(const fs::path& from, const models::Zoo& zoo) {
  std::error_code ignored;
  if (!fs::exists(from, ignored)) {
    throw base::DataError(
        fmt::format("{}: not there; expected a run directory or a .safetensors file (init.from)",
                    from.string()));
  }
  return fs::is_directory(from, ignored) ? model_tensors(*load_selected(from, zoo).model)
                                         : read_weights(from);
}

std::string shape_text(const at::Tensor& tensor) {
  return fmt::format("[{}]", fmt::join(tensor.sizes(), ", "));
}

// Of a gate that the rules of this run bring and the weights have not.
bool is_new_gate(const std::string& name, const NamedTensors& given) {
  return name.find("_gate.") != std::string::npos && given.count(name) == 0;
}

// One line for each tensor that keeps the weights from fitting.
std::vector<std::string> misfits(const NamedTensors& own, const NamedTensors& given,
                                 const InitOptions& options) {
  std::vector<std::string> out;
  for (const auto& [name, tensor] : own) {
    if (in_any(name, options.fresh) || is_new_gate(name, given)) continue;
    const auto it = given.find(name);
    if (it == given.end()) {
      out.push_back(fmt::format("{} {}: not among the weights", name, shape_text(tensor)));
    } else if (it->second.sizes() != tensor.sizes()) {
      out.push_back(fmt::format("{}: shape {}; expected {}", name, shape_text(it->second),
                                shape_text(tensor)));
    }
  }
  for (const auto& [name, tensor] : given) {
    if (own.count(name) != 0 || in_any(name, options.fresh)) continue;
    out.push_back(fmt::format("{} {}: not in the model", name, shape_text(tensor)));
  }
  return out;
}

std::string hash_of(const NamedTensors& tensors) {
  std::string all;
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor t = tensor.contiguous();
    all += name + base::hash_hex(
                      std::string_view(static_cast<const char*>(t.const_data_ptr()), t.nbytes()));
  }
  return base::hash_hex(all);
}

}  // namespace

bool origin_exists(const InitOptions& options) {
  std::error_code ignored;
  return fs::exists(options.from, ignored);
}

NamedTensors origin_tensors(const InitOptions& options, const models::Zoo& zoo) {
  return tensors_at(options.from, zoo);
}

std::string origin_hash(const InitOptions& options, const models::Zoo& zoo) {
  return hash_of(tensors_at(options.from, zoo));
}

void freeze(models::Model& model, const InitOptions& options) {
  check_modules(model_tensors(model), "freeze", options.freeze);
  bool left = options.freeze.empty();
  for (auto& p : model.named_parameters()) {
    const bool frozen = in_any(p.key(), options.freeze);
    if (frozen) p.value().set_requires_grad(false);
    left = left || !frozen;
  }
  if (!left) throw base::RecipeError("init.freeze: nothing of the model is left to train");
}

std::string load_origin(models::Model& model, const InitOptions& options, const models::Zoo& zoo) {
  const NamedTensors given = tensors_at(options.from, zoo);
  sparsify::fit(model, given);  // weights of a pruned run
  NamedTensors own = model_tensors(model);
  check_modules(own, "fresh", options.fresh);
  const std::vector<std::string> wrong = misfits(own, given, options);
  if (!wrong.empty()) {
    constexpr std::size_t kShown = 20;
    const auto shown = static_cast<std::ptrdiff_t>(std::min(kShown, wrong.size()));
    throw base::RecipeError(fmt::format(
        "init.from: {}: {} tensors do not fit the model (init.fresh names modules that shall "
        "start anew, as [head]):\n  {}{}",
        options.from, wrong.size(), fmt::join(wrong.begin(), wrong.begin() + shown, "\n  "),
        wrong.size() > kShown ? "\n  …" : ""));
  }
  std::int64_t copied = 0;
  for (auto& [name, tensor] : own) {
    if (in_any(name, options.fresh) || is_new_gate(name, given)) continue;
    if (!given.at(name).isfinite().all().item<bool>()) {
      throw base::DataError(
          fmt::format("{}: {} holds NaN or infinity; expected finite weights", options.from, name));
    }
    tensor.copy_(given.at(name));
    ++copied;
  }
  const nlohmann::ordered_json record{{"from", options.from},
                                      {"hash", hash_of(given)},
                                      {"tensors", copied},
                                      {"fresh", options.fresh},
                                      {"freeze", options.freeze}};
  return record.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::string begin_with(models::Model& model, const std::optional<InitOptions>& options, bool fresh,
                       const models::Zoo& zoo) {
  if (!options) return "";
  freeze(model, *options);
  return fresh ? load_origin(model, *options, zoo) : "";
}

}  // namespace gtrain::train
