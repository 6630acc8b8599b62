#include "gtrain/train/export_run.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "gtrain/base/error.h"
#include "gtrain/base/log.h"
#include "gtrain/base/safetensors.h"
#include "gtrain/deploy/encoding_script.h"
#include "gtrain/deploy/export.h"
#include "gtrain/train/checkpoint.h"
#include "gtrain/train/recipe_file.h"
#include "material.h"
#include "predict.h"
#include "result.h"

namespace gtrain::train {
namespace {

namespace fs = std::filesystem;

void check(const ExportRunOptions& options) {
  const auto one_of = [](const char* flag, const std::string& value, const char* a, const char* b) {
    if (value == a || value == b) return;
    throw base::RecipeError(fmt::format("{} {}: unknown; known: {}, {}", flag, value, a, b));
  };
  one_of("--format", options.format, "torchscript", "safetensors");
  one_of("--encodings", options.encodings, "inside", "input");
  if (options.fused) {
    throw base::RecipeError(
        "--fused: this build has no fused export, because libgtrain_ops registers no operators; "
        "leave --fused out for a module that needs torch alone");
  }
}

std::map<std::string, std::string> version_texts() {
  std::map<std::string, std::string> out;
  const Json all = versions();
  for (const auto& [name, value] : all.items()) {
    out[name] = value.is_string() ? value.get<std::string>() : value.dump();
  }
  return out;
}

deploy::ExportSpec spec_of(const Selected& selected, const data::DatasetInfo& info,
                           const ExportRunOptions& options) {
  deploy::ExportSpec spec;
  spec.signature = selected.facts.signature;
  spec.encode = selected.recipe.encode;
  spec.encodings =
      options.encodings == "input" ? deploy::Encodings::kInput : deploy::Encodings::kInside;
  spec.target_mean = selected.facts.scale.mean;
  spec.target_deviation = selected.facts.scale.deviation;
  spec.recipe = dump_recipe(selected.recipe);
  spec.metric = info.metric;
  spec.task = data::name_of(info.task);
  for (std::int64_t c = 0; c < spec.signature.outputs; ++c) {
    spec.output_names.push_back(fmt::format("task{}", c));
  }
  spec.versions = version_texts();
  return spec;
}

// Graphs that the module takes, and how many are too large for it.
struct Usable {
  std::vector<std::int64_t> ids;
  std::int64_t too_large = 0;
};

Usable usable_graphs(const data::Dataset& dataset, const models::Model& model,
                     deploy::Encodings encodings) {
  const std::vector<std::string> columns = model.encoding_inputs();
  const bool dense =
      encodings == deploy::Encodings::kInside &&
      std::any_of(columns.begin(), columns.end(), [](const auto& c) { return c != "degree"; });
  Usable out;
  for (std::int64_t g = 0; g < dataset.graphs(); ++g) {
    const std::int64_t n = dataset.nodes_of(g);
    if (dense && n > deploy::kDenseNodes) {
      ++out.too_large;
    } else if (n > 0) {  // a module knows graphs by their nodes
      out.ids.push_back(g);
    }
  }
  return out;
}

// Batches of 1, 7 and 256 graphs, or as many as there are, spread over the data set.
std::vector<data::GraphBatch> sample_batches(const Material& material,
                                             const std::vector<std::int64_t>& ids) {
  std::vector<data::GraphBatch> out;
  for (const std::size_t wanted : {std::size_t{1}, std::size_t{7}, std::size_t{256}}) {
    const std::size_t count = std::min(wanted, ids.size());
    if (!out.empty() && out.back().graphs == static_cast<std::int64_t>(count)) break;
    std::vector<std::int64_t> chosen;
    for (std::size_t i = 0; i < count; ++i) chosen.push_back(ids[i * ids.size() / count]);
    out.push_back(data::collate(material.dataset(), material.encodings, chosen));
  }
  return out;
}

void export_script(const Selected& selected, const fs::path& out, const ExportRunOptions& options) {
  if (!selected.recipe.dataset.transform.empty()) {
    throw base::RecipeError(
        "dataset.transform: virtual_node is not applied inside an exported module; export the "
        "weights with --format safetensors");
  }
  const Material material = prepare(selected.recipe);
  const deploy::ExportSpec spec = spec_of(selected, material.dataset().info, options);
  const Usable usable = usable_graphs(material.dataset(), *selected.model, spec.encodings);
  const std::string limit = fmt::format(
      "more than {} nodes; a module with encodings inside refuses those, and one exported with "
      "--encodings input takes them",
      deploy::kDenseNodes);
  if (usable.ids.empty()) {
    throw base::RecipeError(
        fmt::format("{}: all graphs have {}", material.dataset().info.name, limit));
  }
  if (usable.too_large > 0) {
    base::warn(fmt::format("{} graphs have {}", usable.too_large, limit));
  }
  const deploy::Verified verified =
      deploy::export_torchscript(*selected.model, spec, sample_batches(material, usable.ids), out);
  base::note(fmt::format("{}: TorchScript, compared on {} graphs: largest difference {:.1e}",
                         out.string(), verified.graphs, verified.difference));
}

void export_weights(const Selected& selected, const fs::path& out) {
  base::Safetensors content;
  for (const auto& [name, tensor] : model_tensors(*selected.model)) {
    const at::Tensor values = tensor.detach().to(at::kCPU, at::kFloat).contiguous();
    content.tensors[name] = {"F32", values.sizes().vec(),
                             std::string(static_cast<const char*>(values.const_data_ptr()),
                                         static_cast<std::size_t>(values.nbytes()))};
  }
  content.metadata = to_strings(selected.facts);
  content.metadata["recipe"] = dump_recipe(selected.recipe);
  base::write_safetensors(out, content);
  base::note(fmt::format("{}: {} tensors, {} parameters", out.string(), content.tensors.size(),
                         models::parameter_count(*selected.model)));
}

}  // namespace

void export_run(const fs::path& run, const fs::path& out, const ExportRunOptions& options,
                const models::Zoo& zoo) {
  check(options);
  const Selected selected = load_selected(run, zoo);
  if (options.format == "safetensors") {
    export_weights(selected, out);
  } else {
    export_script(selected, out, options);
  }
}

}  // namespace gtrain::train
