#include "gtrain/deploy/script_module.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "gtrain/base/error.h"
#include "gtrain/deploy/encoding_script.h"

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

Module scripted(const torch::nn::Module& module, const std::string& name, const std::string& more,
                const std::shared_ptr<CompilationUnit>& unit) {
  Module out = empty_module(name, unit);
  for (const auto& item : module.named_parameters(/*recurse=*/false)) {
    out.register_parameter(item.key(), item.value(), /*is_buffer=*/false);
  }
  for (const auto& item : module.named_buffers(/*recurse=*/false)) {
    out.register_buffer(item.key(), item.value());
  }
  for (const auto& item : module.named_children()) {
    out.register_module(item.key(), scripted(*item.value(), item.key(), "", unit));
  }
  out.define(as_layer(module).script() + more);
  return out;
}

constexpr const char* kCheck = R"(
def check(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor, batch: Tensor):
    assert x.dim() == 2 and x.size(1) == {nodes}, "x: has shape {{}}; expected [N, {nodes}]".format(x.size())
    assert edge_index.dim() == 2 and edge_index.size(0) == 2 and edge_index.dtype == 4, "edge_index: has shape {{}}; expected int64 [2, E]".format(edge_index.size())
    assert edge_attr.dim() == 2 and edge_attr.size(1) == {edges}, "edge_attr: has shape {{}}; expected [E, {edges}]".format(edge_attr.size())
    assert edge_attr.size(0) == edge_index.size(1), "edge_attr: has {{}} rows; edge_index has {{}} edges".format(edge_attr.size(0), edge_index.size(1))
    assert batch.dim() == 1 and batch.dtype == 4, "batch: has shape {{}}; expected int64 [N]".format(batch.size())
    assert batch.size(0) == x.size(0), "batch: has {{}} entries; x has {{}} rows".format(batch.size(0), x.size(0))
    if batch.numel() > 0:
        assert int(batch[0]) >= 0, "batch: begins with {{}}; expected graph ids from 0".format(int(batch[0]))
        assert bool(torch.all(batch[1:] >= batch[:-1])), "batch: is not ascending; expected the nodes graph by graph"
    if edge_index.numel() > 0:
        low = int(edge_index.min())
        high = int(edge_index.max())
        assert low >= 0 and high < x.size(0), "edge_index: has the ends {{}} to {{}}; expected 0 to {{}}".format(low, high, x.size(0) - 1)
        ends = batch.index_select(0, edge_index.reshape(-1)).reshape(2, -1)
        assert bool(torch.all(ends[0] == ends[1])), "edge_index: has an edge between two graphs of the batch"
)";

constexpr const char* kCheckPairs = R"(
    assert pairs.dim() == 2 and pairs.size(0) == 2 and pairs.dtype == 4, "pairs: has shape {}; expected int64 [2, P]".format(pairs.size())
    if pairs.numel() > 0:
        low = int(pairs.min())
        high = int(pairs.max())
        assert low >= 0 and high < x.size(0), "pairs: has the ends {} to {}; expected 0 to {}".format(low, high, x.size(0) - 1)
)";

constexpr const char* kCheckEncoding = R"(
    assert {name}.dim() == 2 and {name}.size(0) == x.size(0) and {name}.size(1) == {width}, "{name}: has shape {{}}; expected [N, {width}]".format({name}.size())
)";

std::string forward_script(const models::Model& model, const ExportSpec& spec) {
  const std::vector<std::string> columns = model.encoding_inputs();
  const std::string like = "self." + model.named_parameters().front().key();
  std::string text =
      "\ndef forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor, batch: Tensor";
  std::string body = "    self.check(x, edge_index, edge_attr, batch)\n";
  const bool pairs = spec.signature.level == data::Level::kEdge;
  if (pairs) {
    text += ", pairs: Tensor";
    body += kCheckPairs + 1;
  }
  if (spec.encodings == Encodings::kInput) {
    std::string list;
    for (const std::string& column : encoding_arguments(model)) {
      const std::string name = argument_of(column);
      text += fmt::format(", {}: Tensor", name);
      body += fmt::format(
          kCheckEncoding + 1, fmt::arg("name", name),
          fmt::arg("width", spec.signature.encodings.at(column.substr(0, column.find('.')))));
    }
    for (const std::string& column : columns) {
      list += fmt::format("{}{}.to({}.dtype)", list.empty() ? "" : ", ", argument_of(column), like);
    }
    body += list.empty() ? "    encodings: List[Tensor] = []\n"
                         : fmt::format("    encodings = [{}]\n", list);
  } else {
    body += fmt::format("    encodings = self.encodings(edge_index, batch, {})\n", like);
  }
  body += "    out = self.encoded_forward(x, edge_index, edge_attr, batch, encodings)\n";
  if (pairs) body += "    out = self.head.decode(out, pairs)\n";
  if (spec.dtype != "float32") body += "    out = out.to(6)\n";
  if (!spec.target_mean.empty()) {
    body += fmt::format(
        "    mean = torch.tensor([{:.17e}], dtype=out.dtype, device=out.device)\n"
        "    deviation = torch.tensor([{:.17e}], dtype=out.dtype, device=out.device)\n"
        "    out = out * deviation + mean\n",
        fmt::join(spec.target_mean, ", "), fmt::join(spec.target_deviation, ", "));
  }
  return text + ") -> Tensor:\n" + body + "    return out\n";
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
  if (!spec.transform.empty()) {
    throw base::RecipeError(
        "dataset.transform: virtual_node is not applied inside an exported module; export the "
        "weights with --format safetensors");
  }
  std::string more = fmt::format(kCheck, fmt::arg("nodes", spec.signature.node_width),
                                 fmt::arg("edges", spec.signature.edge_width));
  if (spec.encodings == Encodings::kInside) {
    more += encoding_script(spec.encode, model.encoding_inputs());
  }
  more += forward_script(model, spec);
  return scripted(model, "Model", more, std::make_shared<CompilationUnit>());
}

}  // namespace gtrain::deploy
