#include "gtrain/deploy/description.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <map>
#include <nlohmann/json.hpp>

#include "gtrain/base/durable.h"
#include "gtrain/base/error.h"
#include "gtrain/deploy/encoding_script.h"
#include "gtrain/models/zoo.h"

namespace gtrain::deploy {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kFormat = 1;

const std::map<data::Level, std::string>& level_names() {
  static const std::map<data::Level, std::string> names{
      {data::Level::kGraph, "graph"}, {data::Level::kNode, "node"}, {data::Level::kEdge, "edge"}};
  return names;
}

data::Level level_named(const std::string& name) {
  for (const auto& [level, known] : level_names()) {
    if (known == name) return level;
  }
  throw std::invalid_argument("the level is " + name);
}

std::vector<std::string> inputs_of(const models::Model& model, const ExportSpec& spec) {
  std::vector<std::string> out{"x", "edge_index", "edge_attr", "batch"};
  if (spec.signature.level == data::Level::kEdge) out.push_back("pairs");
  if (spec.encodings == Encodings::kInput) {
    for (const std::string& column : encoding_arguments(model)) {
      out.push_back(argument_of(column));
    }
  }
  return out;
}

// What x and edge_attr hold: the model's own columns, or those that the module makes them of.
Json columns_of(const ExportSpec& spec) {
  const models::Signature& s = spec.signature;
  Json out{{"node", s.node_width},
           {"edge", s.edge_width},
           {"node_categories", s.node_categories},
           {"edge_categories", s.edge_categories}};
  if (spec.features.name.empty()) return out;
  out["node_categories"] = spec.features.categories;
  out["node"] = spec.features.categories.empty() ? Json(nullptr)  // only its rows count
                                                 : Json(spec.features.categories.size());
  return out;
}

models::Signature signature_of(const Json& json) {
  models::Signature out;
  out.level = level_named(json.at("level").get<std::string>());
  out.outputs = json.at("outputs").get<std::int64_t>();
  const Json& columns = json.at("columns");
  out.node_width =
      columns.at("node").is_null() ? kAnyColumns : columns.at("node").get<std::int64_t>();
  out.edge_width = columns.at("edge").get<std::int64_t>();
  out.node_categories = columns.at("node_categories").get<std::vector<std::int64_t>>();
  out.edge_categories = columns.at("edge_categories").get<std::vector<std::int64_t>>();
  return out;
}

}  // namespace

bool computes_densely(const models::Model& model, const ExportSpec& spec) {
  const std::vector<std::string> columns = model.encoding_inputs();
  return !spec.fused && spec.encodings == Encodings::kInside &&
         std::any_of(columns.begin(), columns.end(),
                     [](const std::string& c) { return is_limited(c); });
}

std::string weight_hash(const models::Model& model) {
  std::map<std::string, at::Tensor> state;
  for (const auto& item : model.named_parameters()) state[item.key()] = item.value();
  for (const auto& item : model.named_buffers()) state[item.key()] = item.value();
  std::string bytes;
  for (const auto& [name, tensor] : state) {
    const at::Tensor values = tensor.detach().to(at::kCPU).contiguous();
    bytes += name;
    bytes += '\0';
    bytes.append(static_cast<const char*>(values.const_data_ptr()), values.nbytes());
  }
  return base::hash_hex(bytes);
}

std::string description(const models::Model& model, const ExportSpec& spec) {
  const Json json{
      {"format", kFormat},
      {"recipe", spec.recipe},
      {"task", spec.task},
      {"level", level_names().at(spec.signature.level)},
      {"metric", spec.metric},
      {"scores", spec.scores.empty() ? Json(nullptr) : Json::parse(spec.scores)},
      {"outputs", spec.signature.outputs},
      {"output_names", spec.output_names},
      {"encodings", spec.encodings == Encodings::kInput ? "input" : "inside"},
      {"inputs", inputs_of(model, spec)},
      {"columns", columns_of(spec)},
      {"dense_nodes", computes_densely(model, spec) ? Json(kDenseNodes) : Json(nullptr)},
      {"fused", spec.fused},
      {"frozen", spec.frozen},
      {"dtype", spec.dtype},
      {"parameters", models::parameter_count(model)},
      {"weights_xxh3", weight_hash(model)},
      {"licence", spec.licence},
      {"versions", spec.versions},
  };
  // The recipe may name a path that is no UTF-8.
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

Description parse_description(const std::string& text, const std::string& origin) {
  try {
    const Json json = Json::parse(text);
    if (json.at("format") != kFormat) {
      throw std::invalid_argument("its format is " + json.at("format").dump());
    }
    Description out;
    out.recipe = json.at("recipe").get<std::string>();
    out.task = json.at("task").get<std::string>();
    out.signature = signature_of(json);
    out.encodings = json.at("encodings") == "input" ? Encodings::kInput : Encodings::kInside;
    out.inputs = json.at("inputs").get<std::vector<std::string>>();
    out.fused = json.at("fused").get<bool>();
    return out;
  } catch (const std::exception& e) {
    throw base::DataError(
        fmt::format("{}: its gtrain.json cannot be read ({}); expected a file that this version "
                    "of gtrain export wrote",
                    origin, e.what()));
  }
}

}  // namespace gtrain::deploy
