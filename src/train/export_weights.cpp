#include "export_weights.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "gtrain/base/durable.h"
#include "gtrain/base/error.h"
#include "gtrain/base/log.h"
#include "gtrain/base/safetensors.h"
#include "gtrain/deploy/description.h"
#include "gtrain/train/checkpoint.h"
#include "gtrain/train/recipe_file.h"
#include "gtrain/train/recipe_tree.h"
#include "result.h"

namespace gtrain::train {
namespace {

namespace fs = std::filesystem;

// A scalar of YAML as the JSON value that it is read as.
Json scalar(const RecipeNode& node) {
  if (node.quoted || !Json::accept(node.text)) return node.text;
  return Json::parse(node.text);
}

Json to_json(const RecipeNode& node) {
  switch (node.kind) {
    case RecipeNode::Kind::kNull:
      return nullptr;
    case RecipeNode::Kind::kScalar:
      return scalar(node);
    case RecipeNode::Kind::kList: {
      Json out = Json::array();
      for (const RecipeNode& item : node.items) out.push_back(to_json(item));
      return out;
    }
    case RecipeNode::Kind::kMap:
      break;
  }
  Json out = Json::object();
  for (const RecipeEntry& entry : node.entries) out[entry.key] = to_json(entry.value);
  return out;
}

// The section of the resolved recipe.
Json section(const std::string& recipe, const std::string& key) {
  Problems problems("recipe");
  const RecipeNode root = parse_tree(recipe, -1, problems);
  const RecipeEntry* entry = root.find(key);
  return entry == nullptr ? Json(nullptr) : to_json(entry->value);
}

// Another's config.json is not ours to replace.
void check_config(const fs::path& config, const fs::path& out) {
  if (out.filename() == config.filename()) {
    throw base::RecipeError(
        fmt::format("--out {}: is the name of the description beside the weights; expected another "
                    "name, such as model.safetensors",
                    out.string()));
  }
  std::error_code error;
  if (!fs::exists(config, error)) return;
  const Json there = Json::parse(base::read_file(config), nullptr, /*allow_exceptions=*/false);
  const Json weights = there.is_object() ? there.value("weights", Json(nullptr)) : Json(nullptr);
  if (weights == Json(out.filename().string())) return;
  throw base::RecipeError(fmt::format(
      "--out {}: {} is there and belongs to {}; expected a folder without it", out.string(),
      config.string(), weights.is_string() ? weights.get<std::string>() : "something else"));
}

constexpr std::pair<at::ScalarType, const char*> kTypes[] = {
    {at::kFloat, "F32"}, {at::kBFloat16, "BF16"}, {at::kLong, "I64"},
    {at::kInt, "I32"},   {at::kByte, "U8"},       {at::kBool, "BOOL"}};

// Floats as `floats`, integers as they are: they count, or name rows.
base::RawTensor packed(const at::Tensor& tensor, at::ScalarType floats) {
  const at::ScalarType type = tensor.is_floating_point() ? floats : tensor.scalar_type();
  const auto* known = std::find_if(std::begin(kTypes), std::end(kTypes),
                                   [&](const auto& entry) { return entry.first == type; });
  TORCH_CHECK(known != std::end(kTypes), "[export_weights] a tensor has the type ", type);
  const at::Tensor values = tensor.detach().to(at::kCPU, type).contiguous();
  return {known->second, values.sizes().vec(),
          std::string(static_cast<const char*>(values.const_data_ptr()),
                      static_cast<std::size_t>(values.nbytes()))};
}

base::Safetensors tensors_of(const Selected& selected, const deploy::ExportSpec& spec) {
  const at::ScalarType floats = spec.dtype == "bfloat16" ? at::kBFloat16 : at::kFloat;
  base::Safetensors out;
  for (const auto& [name, tensor] : model_tensors(*selected.model)) {
    out.tensors[name] = packed(tensor, floats);
  }
  out.metadata = to_strings(selected.facts);
  out.metadata["recipe"] = spec.recipe;
  return out;
}

Json config_of(const Selected& selected, const deploy::ExportSpec& spec,
               const base::Safetensors& weights, const fs::path& out) {
  const Json about = Json::parse(deploy::description(*selected.model, spec));
  Json config{{"format", about.at("format")},
              {"weights", out.filename().string()},
              {"model", section(spec.recipe, "model")},
              {"encode", section(spec.recipe, "encode")}};
  for (const char* key : {"task", "level", "metric", "scores", "outputs", "output_names", "columns",
                          "dtype", "parameters", "weights_xxh3", "licence", "versions", "recipe"}) {
    config[key] = about.at(key);
  }
  config["encoding_widths"] = selected.facts.signature.encodings;
  config["target_mean"] = spec.target_mean;
  config["target_deviation"] = spec.target_deviation;
  for (const auto& [name, tensor] : weights.tensors) {
    config["tensors"][name] = {{"dtype", tensor.dtype}, {"shape", tensor.shape}};
  }
  return config;
}

}  // namespace

void export_weights(const Selected& selected, const deploy::ExportSpec& spec, const fs::path& out) {
  const fs::path config = out.parent_path() / "config.json";
  check_config(config, out);
  const base::Safetensors content = tensors_of(selected, spec);
  base::write_safetensors(out, content);
  write_json(config, config_of(selected, spec, content, out));
  base::note(fmt::format("{}: {} tensors, {} parameters, described by {}", out.string(),
                         content.tensors.size(), models::parameter_count(*selected.model),
                         config.string()));
}

}  // namespace gtrain::train
