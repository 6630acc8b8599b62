#include "gtrain/train/export_run.h"

#include <fmt/format.h>

#include <optional>
#include <vector>

#include "export_sample.h"
#include "export_weights.h"
#include "gtrain/base/error.h"
#include "gtrain/base/log.h"
#include "gtrain/deploy/description.h"
#include "gtrain/deploy/encoding_script.h"
#include "gtrain/deploy/export.h"
#include "gtrain/train/recipe_file.h"
#include "gtrain/train/run_directory.h"
#include "gtrain/train/serial_aten.h"
#include "material.h"
#include "module_data.h"
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
  one_of("--dtype", options.dtype, "float32", "bf16");
  if (options.format != "safetensors") return;
  const auto script_only = [](const char* flag, bool given) {
    if (!given) return;
    throw base::RecipeError(
        fmt::format("{}: is of modules; --format safetensors holds weights alone", flag));
  };
  script_only("--fused", options.fused);
  script_only("--freeze", options.freeze);
  script_only("--encodings", options.encodings != "inside");
}

std::map<std::string, std::string> version_texts() {
  std::map<std::string, std::string> out;
  const Json all = versions();
  for (const auto& [name, value] : all.items()) {
    out[name] = value.is_string() ? value.get<std::string>() : value.dump();
  }
  return out;
}

// What the run came to, where it says so.
std::string scores_of(const fs::path& run) {
  const fs::path path = run / "result.json";
  std::error_code error;
  if (!fs::exists(path, error)) return "";
  const Json result = read_json(path);
  Json out;
  for (const char* key : {"select", "best_epoch", "train", "valid", "test"}) {
    if (result.contains(key)) out[key] = result[key];
  }
  return out.dump();
}

std::string licence_note(const data::DatasetOptions& dataset) {
  std::string out =
      "The code in this file is gtrain's (Apache-2.0); the weights belong to whoever trained them.";
  const auto card = card_of(dataset);
  if (card && !card->licence.empty()) {
    out += fmt::format(" Trained on {}, licence as stated by its source: {}.", card->name,
                       card->licence);
  }
  return out;
}

// Of the data set: from the recipe or the card where the data are not opened.
struct Purpose {
  std::string task, metric;
};

Purpose purpose_of(const data::DatasetOptions& dataset) {
  const auto card = card_of(dataset);
  return {task_of(dataset), dataset.metric.empty() && card ? card->metric : dataset.metric};
}

deploy::ExportSpec spec_of(const Selected& selected, const Purpose& purpose,
                           const ExportRunOptions& options) {
  deploy::ExportSpec spec;
  spec.signature = selected.facts.signature;
  spec.encode = selected.recipe.encode;
  spec.encodings =
      options.encodings == "input" ? deploy::Encodings::kInput : deploy::Encodings::kInside;
  spec.transform = selected.recipe.dataset.transform;
  spec.fused = options.fused;
  spec.frozen = options.freeze;
  spec.dtype = options.dtype == "bf16" ? "bfloat16" : "float32";
  spec.target_mean = selected.facts.scale.mean;
  spec.target_deviation = selected.facts.scale.deviation;
  spec.recipe = dump_recipe(selected.recipe);
  spec.metric = purpose.metric;
  spec.task = purpose.task;
  for (std::int64_t c = 0; c < spec.signature.outputs; ++c) {
    spec.output_names.push_back(fmt::format("task{}", c));
  }
  spec.licence = licence_note(selected.recipe.dataset);
  spec.versions = version_texts();
  return spec;
}

// The data as the module takes them, where that is otherwise than the model does.
std::optional<Material> other_view(const Recipe& recipe, const deploy::ExportSpec& spec) {
  if (spec.transform.empty() && spec.features.name.empty()) return std::nullopt;
  Recipe own = recipe;
  own.dataset = module_data(recipe.dataset);
  if (spec.encodings == deploy::Encodings::kInside || encodes_transformed(recipe.dataset)) {
    own.encode.clear();
  }
  return prepare(own);
}

SampleChoice choose(const TwoViews& views, const models::Model& model,
                    const deploy::ExportSpec& spec) {
  const std::int64_t limit = deploy::computes_densely(model, spec) ? deploy::kDenseNodes : 0;
  SampleChoice out = choose_samples(views, limit);
  const std::string name = views.model.dataset().info.name;
  const std::string refused = fmt::format(
      "more than {} nodes; a module with encodings inside refuses those, and one exported with "
      "--encodings input takes them",
      limit);
  if (out.too_large > 0 && out.ids.empty()) {
    throw base::RecipeError(fmt::format("{}: all graphs have {}", name, refused));
  }
  if (out.ids.empty()) throw base::DataError(fmt::format("{}: has no graph with nodes", name));
  if (out.too_large > 0) base::warn(fmt::format("{} graphs have {}", out.too_large, refused));
  return out;
}

void export_script(const Selected& selected, const Material& material, deploy::ExportSpec spec,
                   const fs::path& out, const ExportRunOptions& options) {
  const std::optional<Material> other = other_view(selected.recipe, spec);
  if (other && spec.features.name == "one_hot") {
    spec.features.categories = other->dataset().info.node_categories;
  }
  const TwoViews views{material, other ? *other : material,
                       encodes_transformed(selected.recipe.dataset)};
  const SampleChoice chosen = choose(views, *selected.model, spec);
  const deploy::Verified verified = deploy::export_torchscript(
      *selected.model, spec, export_samples(views, *selected.model, spec.encodings, chosen.ids),
      out, options.fresh);
  base::note(fmt::format(
      "{}: TorchScript, loaded again {} and compared on {} graphs in {} batches: largest "
      "difference {:.1e} of at most {:.1e} (outputs up to {:.3g}; the model's own gap {:.1e})",
      out.string(), options.fresh.empty() ? "in this process" : "in a fresh process",
      chosen.ids.size(), verified.calls, verified.difference, verified.bound, verified.size,
      verified.gap));
}

}  // namespace

void export_run(const fs::path& run, const fs::path& out, const ExportRunOptions& options,
                const models::Zoo& zoo) {
  check(options);
  check_output(out);
  const SerialAten serial;
  const Selected selected = load_selected(run, zoo);
  if (options.format == "safetensors") {
    deploy::ExportSpec spec = spec_of(selected, purpose_of(selected.recipe.dataset), options);
    spec.scores = scores_of(run);
    return export_weights(selected, spec, out);
  }
  const Material material = prepare(selected.recipe);
  const data::DatasetInfo& info = material.dataset().info;
  deploy::ExportSpec spec = spec_of(selected, {data::name_of(info.task), info.metric}, options);
  spec.scores = scores_of(run);
  spec.features = made_inside(selected.recipe.dataset);
  export_script(selected, material, spec, out, options);
}

}  // namespace gtrain::train
