#include "gtrain/deploy/exported.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/csrc/jit/serialization/import.h>
#include <torch/version.h>

#include <optional>
#include <sstream>

#include "gtrain/base/durable.h"
#include "gtrain/base/error.h"
#include "gtrain/deploy/archive.h"
#include "gtrain/deploy/encoding_script.h"

namespace gtrain::deploy {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDescriptionFile = "gtrain.json";

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

// What a module's failed check says, below torch's trace; nothing where something else failed.
std::optional<std::string> check_message(const std::string& what) {
  const std::string marker = "AssertionError: ";
  const std::size_t at = what.rfind(marker);
  if (at == std::string::npos) return std::nullopt;
  return first_line(what.substr(at + marker.size()));
}

at::Tensor argument_named(const std::string& name, const data::GraphBatch& batch) {
  if (name == "x") return batch.node;
  if (name == "edge_index") return at::stack({batch.source, batch.target});
  if (name == "edge_attr") return batch.edge;
  if (name == "batch") return batch.graph;
  if (name == "pairs") return batch.pair.t().contiguous();
  for (const auto& [column, values] : batch.encoding) {
    if (argument_of(column) == name) return values;
  }
  throw base::DataError(fmt::format("the exported module takes {}, which is not computed", name));
}

at::Tensor with_zero_rows(const at::Tensor& values, std::int64_t count) {
  std::vector<std::int64_t> shape = values.sizes().vec();
  shape[0] = count;
  return at::cat({values, at::zeros(shape, values.options())});
}

// Rows of an encoding for a graph of one node. Columns of graphs to which the module adds a node of
// its own have a row more for each graph.
std::int64_t rows_of_one(const std::string& name, const at::Tensor& values,
                         const data::GraphBatch& batch) {
  const at::Tensor size = batch.graph_start.diff();
  const auto sum = [](const at::Tensor& counts) { return counts.sum().item<std::int64_t>(); };
  if (is_per_pair(name)) return values.numel() == sum(size * size) ? 1 : 4;
  return values.size(0) == sum(size) ? 1 : 2;
}

// A module counts graphs by batch[-1] + 1: one node more, in a graph of its own behind the last
// graph of the batch, and those without nodes there are counted too.
void append_graph(std::vector<at::Tensor>& arguments, const std::vector<std::string>& inputs,
                  const data::GraphBatch& batch) {
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const std::string& name = inputs[i];
    if (name == "edge_index" || name == "edge_attr" || name == "pairs") continue;
    if (name == "batch") {
      arguments[i] = at::cat({arguments[i], at::full({1}, batch.graphs, at::kLong)});
    } else {
      const std::int64_t rows = name == "x" ? 1 : rows_of_one(name, arguments[i], batch);
      arguments[i] = with_zero_rows(arguments[i], rows);
    }
  }
}

bool ends_without_nodes(const data::GraphBatch& batch) {
  const std::int64_t nodes = batch.graph.size(0);
  return batch.graphs > 0 &&
         (nodes == 0 || batch.graph[nodes - 1].item<std::int64_t>() + 1 < batch.graphs);
}

}  // namespace

Exported load_exported(const fs::path& path) {
  std::string bytes = base::read_file(path);
  check_seal(bytes, path);
  torch::jit::ExtraFilesMap extra{{kDescriptionFile, ""}};
  Exported out;
  try {
    std::istringstream stream(std::move(bytes));
    out.module = torch::jit::load(stream, at::kCPU, extra);
  } catch (const std::exception& e) {
    throw base::DataError(fmt::format("{}: is whole, but torch {} cannot load it: {}",
                                      path.string(), TORCH_VERSION, first_line(e.what())));
  }
  out.description = parse_description(extra.at(kDescriptionFile), path.string());
  return out;
}

at::Tensor run(Exported& exported, const data::GraphBatch& batch) {
  const at::NoGradGuard guard;
  std::vector<at::Tensor> arguments;
  for (const std::string& name : exported.description.inputs) {
    arguments.push_back(argument_named(name, batch));
  }
  const bool graphs = exported.description.signature.level == data::Level::kGraph;
  const bool appended = graphs && ends_without_nodes(batch);
  if (appended) append_graph(arguments, exported.description.inputs, batch);
  try {
    const at::Tensor out = exported.module.forward({arguments.begin(), arguments.end()}).toTensor();
    return appended ? out.narrow(0, 0, batch.graphs) : out;
  } catch (const std::exception& e) {
    const auto said = check_message(e.what());
    if (!said) throw;
    throw base::DataError(fmt::format("the exported module refuses the data: {}", *said));
  }
}

}  // namespace gtrain::deploy
