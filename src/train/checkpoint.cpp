#include "gtrain/train/checkpoint.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "gtrain/base/durable.h"
#include "gtrain/base/error.h"
#include "gtrain/sparsify/compact.h"

namespace gtrain::train {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::string_view kOptimizer = "optimizer.";
constexpr std::string_view kSparsify = "sparsify.";
constexpr std::string_view kPartial = "trainer.";
constexpr const char* kProgress = "progress";
constexpr const char* kFacts = "facts";

constexpr std::pair<std::string_view, at::ScalarType> kTypes[] = {
    {"F64", at::kDouble}, {"F32", at::kFloat}, {"F16", at::kHalf}, {"BF16", at::kBFloat16},
    {"I64", at::kLong},   {"I32", at::kInt},   {"U8", at::kByte},  {"BOOL", at::kBool}};

base::RawTensor pack(const std::string& name, const at::Tensor& tensor) {
  const at::Tensor t = tensor.detach().contiguous();
  for (const auto& [dtype, type] : kTypes) {
    if (type != t.scalar_type()) continue;
    return {std::string(dtype), t.sizes().vec(),
            std::string(static_cast<const char*>(t.const_data_ptr()), t.nbytes())};
  }
  TORCH_CHECK(false, "[checkpoint] tensor ", name, " has type ", t.scalar_type());
}

at::Tensor unpack(const std::string& name, const base::RawTensor& raw) {
  for (const auto& [dtype, type] : kTypes) {
    if (dtype != raw.dtype) continue;
    at::Tensor t = at::empty(raw.shape, type);
    if (t.nbytes() > 0) std::memcpy(t.mutable_data_ptr(), raw.bytes.data(), t.nbytes());
    return t;
  }
  throw base::DataError(fmt::format(
      "tensor {}: type {}; expected F64, F32, F16, BF16, I64, I32, U8 or BOOL", name, raw.dtype));
}

// JSON has no NaN; it stands as null.
json number(double v) { return std::isfinite(v) ? json(v) : json(nullptr); }
double number(const json& v) { return v.is_null() ? std::nan("") : v.get<double>(); }

json to_json(const Progress& p) {
  json j{{"epoch", p.epoch},           {"batch", p.batch},
         {"updates", p.updates},       {"done", p.done},
         {"best_epoch", p.best_epoch}, {"best", number(p.best)},
         {"since_best", p.since_best}, {"lines", p.lines}};
  if (p.batch > 0) j["partial"] = {{"loss_sum", number(p.loss_sum)}, {"labelled", p.labelled}};
  if (p.plateau) {
    j["plateau"] = {
        {"best", number(p.plateau->best)}, {"bad", p.plateau->bad}, {"rate", p.plateau->rate}};
  }
  return j;
}

Progress progress_of(const json& j) {
  Progress p;
  p.epoch = j.at("epoch");
  p.batch = j.at("batch");
  p.updates = j.at("updates");
  p.done = j.at("done");
  p.best_epoch = j.at("best_epoch");
  p.best = number(j.at("best"));
  p.since_best = j.at("since_best");
  p.lines = j.at("lines");
  if (const auto it = j.find("partial"); it != j.end()) {
    p.loss_sum = number(it->at("loss_sum"));
    // "rows" of older states: the same where every row has one label.
    p.labelled = it->contains("labelled") ? it->at("labelled") : it->at("rows");
  }
  if (const auto it = j.find("plateau"); it != j.end()) {
    p.plateau = Plateau::State{number(it->at("best")), it->at("bad"), it->at("rate")};
  }
  return p;
}

fs::path last_path(const fs::path& directory) { return directory / "last.safetensors"; }
fs::path previous_path(const fs::path& directory) {
  return directory / "last.previous.safetensors";
}

}  // namespace

NamedTensors model_tensors(const torch::nn::Module& model) {
  NamedTensors out;
  for (const auto& p : model.named_parameters()) out.emplace(p.key(), p.value().detach());
  for (const auto& b : model.named_buffers()) out.emplace(b.key(), b.value().detach());
  return out;
}

void load_model_tensors(torch::nn::Module& model, const NamedTensors& tensors,
                        const std::string& origin) {
  sparsify::fit(model, tensors);
  NamedTensors own = model_tensors(model);
  for (const auto& [name, value] : tensors) {
    const auto it = own.find(name);
    const bool fits = it != own.end() && it->second.sizes() == value.sizes() &&
                      it->second.scalar_type() == value.scalar_type();
    if (!fits) {
      throw base::DataError(fmt::format(
          "{}: tensor {} does not fit the model; expected {}", origin, name,
          it == own.end() ? "no such tensor"
                          : fmt::format("shape [{}]", fmt::join(it->second.sizes(), ", "))));
    }
  }
  for (auto& [name, value] : own) {
    const auto it = tensors.find(name);
    if (it == tensors.end()) {
      throw base::DataError(fmt::format(
          "{}: tensor {} is missing; expected every tensor of the model", origin, name));
    }
    value.copy_(it->second);
  }
}

void write_checkpoint(const fs::path& path, const Checkpoint& checkpoint) {
  base::Safetensors file;
  for (const auto& [name, t] : checkpoint.model) file.tensors[name] = pack(name, t);
  for (const auto& [name, t] : checkpoint.optimizer) {
    file.tensors[std::string(kOptimizer) + name] = pack(name, t);
  }
  for (const auto& [name, t] : checkpoint.sparsify) {
    file.tensors[std::string(kSparsify) + name] = pack(name, t);
  }
  for (const auto& [name, t] : checkpoint.partial) {
    file.tensors[std::string(kPartial) + name] = pack(name, t);
  }
  file.metadata["format"] = "gtrain checkpoint 1";
  file.metadata[kProgress] = to_json(checkpoint.progress).dump();
  file.metadata[kFacts] = json(checkpoint.facts).dump();
  base::write_safetensors(path, file);
}

Checkpoint read_checkpoint(const fs::path& path) {
  const base::Safetensors file = base::read_safetensors(path, true);
  Checkpoint out;
  for (const auto& [name, raw] : file.tensors) {
    if (name.starts_with(kOptimizer)) {
      out.optimizer[name.substr(kOptimizer.size())] = unpack(name, raw);
    } else if (name.starts_with(kSparsify)) {
      out.sparsify[name.substr(kSparsify.size())] = unpack(name, raw);
    } else if (name.starts_with(kPartial)) {
      out.partial[name.substr(kPartial.size())] = unpack(name, raw);
    } else {
      out.model[name] = unpack(name, raw);
    }
  }
  try {
    out.progress = progress_of(json::parse(file.metadata.at(kProgress)));
    out.facts = json::parse(file.metadata.at(kFacts)).get<std::map<std::string, std::string>>();
  } catch (const std::exception& e) {
    throw base::DataError(
        fmt::format("{}: its metadata is not a checkpoint's ({}); expected one that gtrain wrote",
                    path.string(), e.what()));
  }
  return out;
}

void check_same_run(const Checkpoint& best, const Checkpoint& last, const fs::path& file) {
  for (const char* fact : {"recipe_hash", "seed", "data_hash"}) {
    const auto of = [&](const Checkpoint& c) {
      const auto it = c.facts.find(fact);
      return it == c.facts.end() ? std::string() : it->second;
    };
    if (of(best) == of(last)) continue;
    throw base::DataError(fmt::format(
        "{}: belongs to another run than last.safetensors (its {} is another); expected the states "
        "of one run",
        file.string(), fact));
  }
}

NamedTensors read_weights(const fs::path& path) {
  NamedTensors out;
  for (const auto& [name, raw] : base::read_safetensors(path).tensors) {
    if (name.starts_with(kOptimizer) || name.starts_with(kSparsify) || name.starts_with(kPartial)) {
      continue;
    }
    const at::Tensor t = unpack(fmt::format("{} of {}", name, path.string()), raw);
    const bool narrow = t.scalar_type() == at::kBFloat16 || t.scalar_type() == at::kHalf;
    out[name] = narrow ? t.to(at::kFloat) : t;  // as models hold them
  }
  return out;
}

void save_generation(const fs::path& directory, const Checkpoint& checkpoint) {
  // Whole and safe under a name of its own first: a full disk or a damaged last state then costs
  // neither of the generations that are there.
  const fs::path next = directory / "last.next.safetensors";
  write_checkpoint(next, checkpoint);
  std::error_code missing;  // the first save has no older generation
  if (fs::exists(last_path(directory), missing)) {
    base::rename_durable(last_path(directory), previous_path(directory));
  }
  base::rename_durable(next, last_path(directory));
}

std::optional<Checkpoint> newest_generation(const fs::path& directory,
                                            std::vector<std::string>& skipped) {
  for (const fs::path& path : {last_path(directory), previous_path(directory)}) {
    std::error_code ignored;
    if (!fs::exists(path, ignored)) continue;
    try {
      return read_checkpoint(path);
    } catch (const base::DataError& e) {
      skipped.push_back(e.what());
    }
  }
  return std::nullopt;
}

}  // namespace gtrain::train
