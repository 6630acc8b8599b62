#include "gtrain/deploy/export.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/csrc/jit/serialization/import.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>

#include "gtrain/base/durable.h"
#include "gtrain/deploy/archive.h"
#include "gtrain/deploy/encoding_script.h"

namespace gtrain::deploy {
namespace {

using data::GraphBatch;

std::string description(const models::Model& model, const ExportSpec& spec) {
  std::vector<std::string> inputs{"x", "edge_index", "edge_attr", "batch"};
  if (spec.signature.level == data::Level::kEdge) inputs.push_back("pairs");
  if (spec.encodings == Encodings::kInput) {
    for (const std::string& column : encoding_arguments(model)) {
      inputs.push_back(argument_of(column));
    }
  }
  const nlohmann::ordered_json json{
      {"format", 1},
      {"recipe", spec.recipe},
      {"metric", spec.metric},
      {"task", spec.task},
      {"output_names", spec.output_names},
      {"encodings", spec.encodings == Encodings::kInput ? "input" : "inside"},
      {"inputs", inputs},
      {"dense_nodes", kDenseNodes},
      {"fused", false},
      {"versions", spec.versions},
  };
  // The recipe may name a path that is no UTF-8.
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string archive_of(const torch::jit::Module& module, const std::string& description) {
  std::ostringstream out;
  module.save(out, {{"gtrain.json", description}});
  return seal(std::move(out).str());
}

at::Tensor expected(models::Model& model, const ExportSpec& spec, const GraphBatch& batch) {
  nn::Context context;
  const at::Tensor out = model.forward(batch, context);
  if (spec.target_mean.empty()) return out;
  const auto row = [&](const std::vector<double>& values) {
    return at::tensor(values, at::kDouble).to(out.scalar_type());
  };
  return out * row(spec.target_deviation) + row(spec.target_mean);
}

// The same edges, last first.
std::vector<at::Tensor> reversed(std::vector<at::Tensor> arguments) {
  arguments[1] = arguments[1].flip(1);
  arguments[2] = arguments[2].flip(0);
  return arguments;
}

double difference(torch::jit::Module& module, const std::vector<at::Tensor>& arguments,
                  const at::Tensor& want) {
  const at::Tensor got = module.forward({arguments.begin(), arguments.end()}).toTensor();
  if (got.sizes() != want.sizes()) {
    throw std::runtime_error(fmt::format("export: the file gives {} rows; the model gives {}",
                                         got.size(0), want.size(0)));
  }
  if (want.numel() == 0) return 0.0;
  // NaN and Inf are equal to themselves: a diverged model is exported as it is.
  const at::Tensor distance = at::where(got.eq(want) | (got.isnan() & want.isnan()),
                                        at::zeros_like(want), (got - want).abs());
  const double scale = std::max(1.0, at::nan_to_num(want).abs().max().item<double>());
  const double worst = distance.max().item<double>() / scale;
  return std::isnan(worst) ? std::numeric_limits<double>::infinity() : worst;
}

}  // namespace

std::vector<at::Tensor> arguments_of(const GraphBatch& batch, const models::Model& model,
                                     Encodings encodings) {
  std::vector<at::Tensor> out{batch.node, at::stack({batch.source, batch.target}), batch.edge,
                              batch.graph};
  if (batch.pair.defined()) out.push_back(batch.pair.t().contiguous());
  if (encodings == Encodings::kInput) {
    for (const std::string& column : encoding_arguments(model)) {
      out.push_back(batch.encoding.at(column));
    }
  }
  return out;
}

Verified export_torchscript(models::Model& model, const ExportSpec& spec,
                            const std::vector<GraphBatch>& samples,
                            const std::filesystem::path& path) {
  const at::NoGradGuard guard;
  const std::string bytes = archive_of(script_module(model, spec), description(model, spec));
  check_seal(bytes, path);
  std::istringstream stream(bytes);
  torch::jit::Module module = torch::jit::load(stream, at::kCPU);
  Verified out;
  for (const GraphBatch& batch : samples) {
    const at::Tensor want = expected(model, spec, batch);
    const std::vector<at::Tensor> arguments = arguments_of(batch, model, spec.encodings);
    for (const auto& a : {arguments, reversed(arguments)}) {
      out.difference = std::max(out.difference, difference(module, a, want));
    }
    out.graphs += batch.graphs;
  }
  if (out.difference > kTolerance) {
    throw std::runtime_error(fmt::format(
        "export: {} was not written: loaded again it differs from the model by {:.2e} of the "
        "outputs' size; expected at most {:.0e}",
        path.string(), out.difference, kTolerance));
  }
  base::write_durable(path, bytes);
  check_seal(base::read_file(path), path);
  return out;
}

}  // namespace gtrain::deploy
