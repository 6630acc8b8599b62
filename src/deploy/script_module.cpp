#include "gtrain/deploy/script_module.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "deploy/detail/fused_resolver.h"
#include "gtrain/base/error.h"
#include "gtrain/deploy/encoding_script.h"
#include "gtrain/deploy/fused_encoding.h"
#include "gtrain/deploy/input_check.h"
#include "gtrain/nn/sparsity_gate.h"

namespace gtrain::deploy {
namespace {

using torch::jit::CompilationUnit;
using torch::jit::Module;

const nn::Layer& as_layer(const torch::nn::Module& module) {
  const auto* layer = dynamic_cast<const nn::Layer*>(&module);
  TORCH_CHECK(layer != nullptr, "[export] ", module.name(), " is no gtrain layer");
  return *layer;
}

// Python's torch.jit.freeze asks every module for `training`.
Module empty_module(const std::string& name, const std::shared_ptr<CompilationUnit>& unit) {
  Module out(c10::QualifiedName("__torch__.gtrain." + name), unit, /*shouldMangle=*/true);
  out.register_attribute("training", c10::BoolType::get(), false);
  return out;
}

// How a tree of layers becomes text. `operators`: a text may call them; `fused`: layers' own do.
struct Form {
  std::shared_ptr<CompilationUnit> unit = std::make_shared<CompilationUnit>();
  bool operators = false, fused = false;
};

// Operators know nothing of gates.
bool has_gates(const torch::nn::Module& model) {
  const auto modules = model.modules();
  return std::any_of(modules.begin(), modules.end(), [](const auto& module) {
    const auto* gated = dynamic_cast<const nn::Gated*>(module.get());
    return gated &&
           (gated->token_gate || gated->leave_gate || gated->head_gate || gated->branch_gate);
  });
}

// A layer without a TorchScript form says so in the text that stands in its place.
void check_exportable(const std::string& text) {
  const std::size_t at = text.find("has no exported form");
  if (at == std::string::npos) return;
  const std::size_t first = text.rfind('"', at) + 1;
  throw base::RecipeError(fmt::format("export: {}; --format safetensors exports the weights alone",
                                      text.substr(first, text.find('"', at) - first)));
}

Module scripted(const torch::nn::Module& module, const std::string& name, const std::string& more,
                const Form& form) {
  Module out = empty_module(name, form.unit);
  for (const auto& item : module.named_parameters(/*recurse=*/false)) {
    out.register_parameter(item.key(), item.value(), /*is_buffer=*/false);
  }
  for (const auto& item : module.named_buffers(/*recurse=*/false)) {
    out.register_buffer(item.key(), item.value());
  }
  for (const auto& item : module.named_children()) {
    out.register_module(item.key(), scripted(*item.value(), item.key(), "", form));
  }
  const nn::Layer& layer = as_layer(module);
  const std::string text = (form.fused ? layer.fused_script() : layer.script()) + more;
  check_exportable(text);
  if (form.operators) {
    out.define(text, std::make_shared<detail::FusedResolver>());
  } else {
    out.define(text);
  }
  return out;
}

constexpr const char* kAddNodes =
    "    x, edge_index, edge_attr, batch, rows = self.with_virtual(x, edge_index, edge_attr, "
    "batch)\n";

// Statements that check the encodings among the arguments and make a list of them.
std::string given_encodings(const models::Model& model, const ExportSpec& spec,
                            const std::string& like) {
  std::string body, list;
  for (const std::string& column : encoding_arguments(model)) {
    const std::string name = argument_of(column);
    const std::int64_t width = spec.signature.encodings.at(encoding_of_column(column));
    body += encoding_check_script(name, is_per_pair(column) ? std::nullopt : std::optional(width));
  }
  for (const std::string& column : model.encoding_inputs()) {
    list += fmt::format("{}{}.to({})", list.empty() ? "" : ", ", argument_of(column),
                        is_index(column) ? "4" : like + ".dtype");
  }
  return body + "    encodings: List[Tensor] = [" + list + "]\n";
}

// Statements that add virtual nodes to encoded graphs; their encodings are 0.
std::string widen_encodings(const models::Model& model) {
  for (const std::string& column : model.encoding_inputs()) {
    if (!is_per_pair(column)) continue;
    throw base::RecipeError(fmt::format(
        "dataset.transform: virtual_node cannot extend the encoding {}, which has a row for each "
        "pair of nodes; expected after: import, or no such encoding",
        column));
  }
  return std::string(kAddNodes) +
         "    encodings = [self.widened(e, rows, x.size(0)) for e in encodings]\n";
}

// From the model's rows to those that were asked for, in the units of the targets.
std::string finish_script(const ExportSpec& spec) {
  std::string body;
  if (spec.signature.level == data::Level::kEdge) {
    body += spec.transform.empty()
                ? "    out = self.head.decode(out, pairs)\n"
                : "    pairs = rows.index_select(0, pairs.reshape(-1)).reshape(2, -1)\n"
                  "    out = self.head.decode(out, pairs)\n";
  } else if (spec.signature.level == data::Level::kNode && !spec.transform.empty()) {
    body += "    out = out.index_select(0, rows)\n";
  }
  if (spec.dtype != "float32") body += "    out = out.to(6)\n";
  if (!spec.target_mean.empty()) {
    body += fmt::format(
        "    mean = torch.tensor([{:.17e}], dtype=out.dtype, device=out.device)\n"
        "    deviation = torch.tensor([{:.17e}], dtype=out.dtype, device=out.device)\n"
        "    out = out * deviation + mean\n",
        fmt::join(spec.target_mean, ", "), fmt::join(spec.target_deviation, ", "));
  }
  return body + "    return out\n";
}

std::string forward_script(const models::Model& model, const ExportSpec& spec) {
  const bool given = spec.encodings == Encodings::kInput;
  const std::string like = "self." + model.named_parameters().front().key();
  std::string text =
      "\ndef forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor, batch: Tensor";
  std::string body = "    self.check(x, edge_index, edge_attr, batch)\n";
  if (spec.signature.level == data::Level::kEdge) {
    text += ", pairs: Tensor";
    body += pair_check_script();
  }
  if (given) {
    for (const std::string& column : encoding_arguments(model)) {
      text += fmt::format(", {}: Tensor", argument_of(column));
    }
  }
  if (!spec.features.name.empty()) body += "    x = self.made_features(x, edge_index, batch)\n";
  if (transforms_after(spec.transform, "import")) body += kAddNodes;
  body += given ? given_encodings(model, spec, like)
                : fmt::format("    encodings = self.encodings(edge_index, batch, {})\n", like);
  if (transforms_after(spec.transform, "encode")) body += widen_encodings(model);
  if (spec.fused) {
    body += "    edge_index, edge_attr = gtrain.sort_edges(edge_index, edge_attr, x.size(0))\n";
  }
  body += "    out = self.encoded_forward(x, edge_index, edge_attr, batch, encodings)\n";
  return text + ") -> Tensor:\n" + body + finish_script(spec);
}

}  // namespace

std::vector<std::string> encoding_arguments(const models::Model& model) {
  std::vector<std::string> out;
  for (const std::string& column : model.encoding_inputs()) {
    if (std::find(out.begin(), out.end(), column) == out.end()) out.push_back(column);
  }
  return out;
}

Module script_module(models::Model& model, const ExportSpec& spec) {
  std::string more = input_check_script(spec.features, spec.signature) +
                     feature_script(spec.features) + transform_script(spec.transform);
  if (spec.encodings == Encodings::kInside) {
    more += (spec.fused ? fused_encoding_script : encoding_script)(spec.encode,
                                                                   model.encoding_inputs());
  }
  more += forward_script(model, spec);
  return scripted(model, "Model", more,
                  {.operators = spec.fused, .fused = spec.fused && !has_gates(model)});
}

}  // namespace gtrain::deploy
