#include "gtrain/deploy/script_module.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/csrc/jit/frontend/resolver.h>
#include <torch/csrc/jit/frontend/sugared_value.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "gtrain/base/error.h"
#include "gtrain/deploy/encoding_script.h"
#include "gtrain/deploy/fused_encoding.h"
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

// `gtrain` in a fused text: the operators that libgtrain_ops registers.
class FusedResolver final : public torch::jit::Resolver {
 public:
  std::shared_ptr<torch::jit::SugaredValue> resolveValue(
      const std::string& name, torch::jit::GraphFunction& function,
      const torch::jit::SourceRange& range) override {
    if (name == "gtrain") return std::make_shared<torch::jit::BuiltinModule>("gtrain");
    return torch::jit::nativeResolver()->resolveValue(name, function, range);
  }
};

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
    return gated && (gated->token_gate || gated->head_gate || gated->branch_gate);
  });
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
  if (form.operators) {
    out.define(text, std::make_shared<FusedResolver>());
  } else {
    out.define(text);
  }
  return out;
}

// A batch names no graph far beyond its nodes: the outputs have a row for each.
constexpr std::int64_t kMostGaps = 1 << 20;

constexpr const char* kCheck = R"(
def type_of(self, x: Tensor) -> str:
    names = ["uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64", "complex32", "complex64", "complex128", "bool"]
    return names[x.dtype] if x.dtype < len(names) else "bfloat16" if x.dtype == 15 else "another type"
def check_numbers(self, x: Tensor, name: str):
    assert x.dtype == 4 or x.is_floating_point() or x.numel() == 0, "{{}}: has the type {{}}; expected int64 or float".format(name, self.type_of(x))
    if x.is_floating_point() and not bool(torch.isfinite(x).all()):
        wrong = torch.nonzero(torch.logical_not(torch.isfinite(x)))[0]
        row = int(wrong[0])
        column = int(wrong[1])
        assert False, "{{}}: row {{}} column {{}} holds {{}}; expected finite numbers".format(name, row, column, float(x[row][column]))
def check(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor, batch: Tensor):
    assert x.dim() == 2{width}, "x: has shape {{}}; expected [N, {nodes}]".format(x.size())
    assert edge_index.dim() == 2 and edge_index.size(0) == 2, "edge_index: has shape {{}}; expected int64 [2, E]".format(edge_index.size())
    assert edge_index.dtype == 4, "edge_index: has the type {{}}; expected int64".format(self.type_of(edge_index))
    assert edge_attr.dim() == 2 and edge_attr.size(1) == {edges}, "edge_attr: has shape {{}}; expected [E, {edges}]".format(edge_attr.size())
    assert edge_attr.size(0) == edge_index.size(1), "edge_attr: has {{}} rows; edge_index has {{}} edges".format(edge_attr.size(0), edge_index.size(1))
    assert batch.dim() == 1, "batch: has shape {{}}; expected int64 [N]".format(batch.size())
    assert batch.dtype == 4, "batch: has the type {{}}; expected int64".format(self.type_of(batch))
    assert batch.size(0) == x.size(0), "batch: has {{}} entries; x has {{}} rows".format(batch.size(0), x.size(0))
    assert batch.numel() > 0, "batch: is empty; expected at least one node"
    self.check_numbers(x, "x")
    self.check_numbers(edge_attr, "edge_attr")
    assert int(batch[0]) >= 0, "batch: begins with {{}}; expected graph ids from 0".format(int(batch[0]))
    assert bool(torch.all(batch[1:] >= batch[:-1])), "batch: is not ascending; expected the nodes graph by graph"
    assert int(batch[-1]) < batch.size(0) + {gaps}, "batch: ends with graph {{}}; expected at most {gaps} ids without nodes".format(int(batch[-1]))
    if edge_index.numel() > 0:
        low = int(edge_index.min())
        high = int(edge_index.max())
        assert low >= 0 and high < x.size(0), "edge_index: has the ends {{}} to {{}}; expected 0 to {{}}".format(low, high, x.size(0) - 1)
        ends = batch.index_select(0, edge_index.reshape(-1)).reshape(2, -1)
        assert bool(torch.all(ends[0] == ends[1])), "edge_index: has an edge between two graphs of the batch"
)";

constexpr const char* kCheckPairs = R"(
    assert pairs.dim() == 2 and pairs.size(0) == 2, "pairs: has shape {}; expected int64 [2, P]".format(pairs.size())
    assert pairs.dtype == 4, "pairs: has the type {}; expected int64".format(self.type_of(pairs))
    if pairs.numel() > 0:
        low = int(pairs.min())
        high = int(pairs.max())
        assert low >= 0 and high < x.size(0), "pairs: has the ends {} to {}; expected 0 to {}".format(low, high, x.size(0) - 1)
        own = batch.index_select(0, pairs.reshape(-1)).reshape(2, -1)
        assert bool(torch.all(own[0] == own[1])), "pairs: has a pair of nodes of two graphs of the batch"
)";

constexpr const char* kCheckRows = R"(
    assert {name}.dim() == 2 and {name}.size(0) == x.size(0) and {name}.size(1) == {width}, "{name}: has shape {{}}; expected [{{}}, {width}]".format({name}.size(), x.size(0))
)";

constexpr const char* kCheckCells = R"(
    count = torch.bincount(batch)
    cells = int((count * count).sum())
    assert {name}.numel() == cells, "{name}: has shape {{}}; expected [{{}}, 1], a row for each pair of nodes of a graph".format({name}.size(), cells)
)";

std::string check_script(const ExportSpec& spec) {
  const std::int64_t width = raw_width(spec.features, spec.signature.node_width);
  const bool any = width < 0;
  return fmt::format(kCheck,
                     fmt::arg("width", any ? "" : fmt::format(" and x.size(1) == {}", width)),
                     fmt::arg("nodes", any ? "any" : fmt::format("{}", width)),
                     fmt::arg("edges", spec.signature.edge_width), fmt::arg("gaps", kMostGaps));
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
    body += is_per_pair(column)
                ? fmt::format(kCheckCells + 1, fmt::arg("name", name))
                : fmt::format(kCheckRows + 1, fmt::arg("name", name), fmt::arg("width", width));
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
    body += kCheckPairs + 1;
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
  std::string more =
      check_script(spec) + feature_script(spec.features) + transform_script(spec.transform);
  if (spec.encodings == Encodings::kInside) {
    more += (spec.fused ? fused_encoding_script : encoding_script)(spec.encode,
                                                                   model.encoding_inputs());
  }
  more += forward_script(model, spec);
  return scripted(model, "Model", more,
                  {.operators = spec.fused, .fused = spec.fused && !has_gates(model)});
}

}  // namespace gtrain::deploy
