#include "gtrain/train/prune_run.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "evaluation.h"
#include "flop_report.h"
#include "gtrain/base/durable.h"
#include "gtrain/base/error.h"
#include "gtrain/base/log.h"
#include "gtrain/models/in_double.h"
#include "gtrain/sparsify/compact.h"
#include "gtrain/train/checkpoint.h"
#include "gtrain/train/recipe_file.h"
#include "gtrain/train/serial_aten.h"
#include "material.h"
#include "predict.h"
#include "result.h"
#include "spread.h"

namespace gtrain::train {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kCompared = 1024;   // graphs
constexpr int kPasses = 3;                 // the fastest counts
constexpr double kTolerance = 1e-5;        // of outputs, of the largest
constexpr double kExactTolerance = 1e-10;  // in float64

// A model at work on some graphs.
struct Look {
  std::vector<at::Tensor> outputs;
  std::int64_t parameters = 0;
  std::int64_t gates = 0;  // of them, parameters of learned gates
  FlopReport flops;
  double seconds = 0;  // of one graph
};

Look look_at(models::Model& model, const Selected& run, const Material& material,
             const std::vector<std::int64_t>& ids) {
  const at::NoGradGuard no_grad;
  model.eval();
  Look out;
  out.parameters = models::parameter_count(model) - sparsify::zeros_left_out(model);
  for (const auto& p : model.named_parameters()) {
    if (p.key().ends_with("_gate.log_alpha")) out.gates += p.value().numel();
  }
  out.seconds = std::numeric_limits<double>::infinity();
  data::Loader loader(material.dataset(), material.encodings, ids, plain_loading(run.recipe));
  const auto graphs = static_cast<double>(std::max<std::size_t>(1, ids.size()));
  for (int pass = 0; pass < kPasses; ++pass) {
    out.outputs.clear();
    double seconds = 0;
    loader.start_epoch(1);
    while (const auto batch = loader.next()) {
      nn::Context context;
      const auto start = std::chrono::steady_clock::now();
      out.outputs.push_back(model.forward(*batch, context));
      seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }
    out.seconds = std::min(out.seconds, seconds / graphs);
  }
  out.flops = count_flops(model, run.recipe, material, kCompared);
  return out;
}

double largest_difference(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i].numel() == 0) continue;
    const double scale = std::max(1.0, a[i].abs().max().item<double>());
    const double off = (a[i] - b[i]).abs().max().item<double>() / scale;
    most = std::isnan(off) ? std::numeric_limits<double>::infinity() : std::max(most, off);
  }
  return most;
}

// A deep model can turn another order of sums into more than the tolerance. In float64, where
// rounding is far smaller, nothing may be left of it.
void check_exact(models::Model& masked, models::Model& pruned, const Selected& run,
                 const Material& material, const std::vector<std::int64_t>& ids,
                 const std::string& what) {
  const at::NoGradGuard no_grad;
  const auto outputs = [&](models::Model& model) {
    const models::InDouble scope(model);
    model.eval();
    data::Loader loader(material.dataset(), material.encodings, ids, plain_loading(run.recipe));
    loader.start_epoch(1);
    std::vector<at::Tensor> out;
    while (const auto batch = loader.next()) {
      nn::Context context;
      out.push_back(model.forward(*batch, context));
    }
    return out;
  };
  const double exact = largest_difference(outputs(masked), outputs(pruned));
  if (exact <= kExactTolerance) {
    return base::note(fmt::format("{}, of rounding: {:.1e} in float64", what, exact));
  }
  throw base::Error(base::ExitCode::kBug,
                    fmt::format("{}; expected at most {:.0e}, or {:.0e} in float64, where it is "
                                "{:.1e}",
                                what, kTolerance, kExactTolerance, exact));
}

// Rules whose work is in the shapes now; those that choose nodes anew in every graph stay.
Recipe without_rules(Recipe recipe, const fs::path& out) {
  std::vector<sparsify::Rule>& rules = recipe.sparsify->rules;
  std::erase_if(rules, [](const sparsify::Rule& rule) {
    return !std::holds_alternative<sparsify::TokenRule>(rule);
  });
  if (rules.empty()) recipe.sparsify.reset();
  recipe.init = InitOptions{};
  recipe.init->from = fs::absolute(out).lexically_normal().string();
  recipe.published.reset();
  return recipe;
}

Json account(const Look& look) {
  return {{"parameters", look.parameters},
          {"flops_per_graph", look.flops.total().total()},
          {"sparse_flops_per_graph", look.flops.total().sparse()},
          {"seconds_per_graph", look.seconds}};
}

// What the cuts leave, from the counts before them: products and attention of a module in
// proportion to its heads or units, and what is left of its products to the entries of its weights.
struct Predicted {
  double parameters = 0, flops = 0;
};

Predicted predicted(const Look& before, const std::vector<sparsify::Cut>& cuts) {
  Predicted out{static_cast<double>(before.parameters - before.gates),
                before.flops.total().total()};
  std::map<std::string, double> whole, entries;  // shares of a module's products that are gone
  std::set<std::string> own;  // modules of which all work is that of heads or hidden units
  for (const sparsify::Cut& cut : cuts) {
    out.parameters -= static_cast<double>(cut.parameters);
    auto& gone = cut.what == "weights" ? entries : whole;
    for (const std::string& module : cut.modules) gone[module] += cut.gone;
    if (cut.what != "weights") own.insert(cut.path);
  }
  for (const auto& [module, flops] : before.flops.modules) {
    const auto of = [&](ops::Work work) { return flops.of[static_cast<std::size_t>(work)]; };
    out.flops -= whole[module] * of(ops::Work::kAttention);
    out.flops -= of(ops::Work::kProduct) * (1 - (1 - whole[module]) * (1 - entries[module]));
    if (own.contains(module)) out.flops -= whole[module] * of(ops::Work::kElement);
  }
  return out;
}

void note_cuts(const std::vector<sparsify::Cut>& cuts, const Look& before, const Look& after,
               double difference) {
  for (const sparsify::Cut& cut : cuts) {
    base::note(fmt::format("{}: {} of {} {} left", cut.path, cut.after, cut.before, cut.what));
  }
  const auto line = [](const char* name, double a, double b) {
    base::note(fmt::format("{:<18} {:.4g} -> {:.4g}  ({:.1f} %)", name, a, b, 100 * b / a));
  };
  line("parameters", static_cast<double>(before.parameters), static_cast<double>(after.parameters));
  const ops::Flops left = after.flops.total();
  line("FLOPs a graph", before.flops.total().total(), left.total());
  const Predicted promised = predicted(before, cuts);
  const auto off = [](double said, double is) { return 100 * std::abs(said / is - 1); };
  base::note(fmt::format("{:<18} {:.4g} parameters, {:.2f} % off; {:.4g} FLOPs, {:.2f} % off",
                         "  predicted", promised.parameters,
                         off(promised.parameters, static_cast<double>(after.parameters)),
                         promised.flops, off(promised.flops, left.total())));
  line("seconds a graph", before.seconds, after.seconds);
  base::note(fmt::format("outputs differ by {:.1e} of the largest at most", difference));
  if (left.zeros > 0) {
    base::note(
        fmt::format("weights of 0 stay in dense products, which are faster: {:.1f} % of the "
                    "FLOPs left",
                    100 * left.zeros / left.total()));
  }
}

void check_target(const fs::path& out) {
  std::error_code ignored;
  if (!fs::exists(out, ignored) || fs::is_empty(out, ignored)) return;
  throw base::RecipeError(
      fmt::format("--out {}: is not empty; choose another directory", out.string()));
}

}  // namespace

void prune_run(const fs::path& run, const fs::path& out, const models::Zoo& zoo) {
  const SerialAten serial;
  check_target(out);
  const Selected selected = load_selected(run, zoo);
  if (!selected.recipe.sparsify) {
    throw base::RecipeError(fmt::format(
        "{}: its recipe has no sparsify: section; there is nothing to prune", run.string()));
  }
  const Material material = prepare(selected.recipe);
  check_signature(material.signature, {selected.facts.signature, task_of(selected.recipe.dataset)},
                  material.dataset().info);
  const std::vector<std::int64_t> ids = material.dataset().single_graph()
                                            ? std::vector<std::int64_t>{0}
                                            : spread(ids_of(material, "all"), kCompared);
  const Look before = look_at(*selected.model, selected, material, ids);
  const std::vector<sparsify::Cut> cuts = sparsify::compact(*selected.model);
  if (cuts.empty()) {
    throw base::RecipeError(
        fmt::format("{}: no heads, layers or hidden units are switched off, and no matrix has so "
                    "few weights left that a sparse product is faster (docs/sparsity.md)",
                    run.string()));
  }
  const Look after = look_at(*selected.model, selected, material, ids);
  const double difference = largest_difference(before.outputs, after.outputs);
  if (difference > kTolerance) {
    check_exact(*load_selected(run, zoo).model, *selected.model, selected, material, ids,
                fmt::format("{}: outputs of the pruned model differ by {:.1e} of the largest",
                            run.string(), difference));
  }
  note_cuts(cuts, before, after, difference);

  base::make_directory(out);
  const Recipe recipe = without_rules(selected.recipe, out);
  Checkpoint state;
  state.model = model_tensors(*selected.model);
  state.progress.done = true;
  Facts facts = selected.facts;
  facts.recipe_hash = recipe_hash(recipe);
  state.facts = to_strings(facts);
  base::write_durable(out / "recipe.yaml", dump_recipe(recipe));
  save_generation(out, state);
  const Predicted promised = predicted(before, cuts);
  Json listed = Json::array();
  for (const sparsify::Cut& cut : cuts) {
    listed.push_back(
        {{"of", cut.path}, {"what", cut.what}, {"before", cut.before}, {"after", cut.after}});
  }
  write_json(out / "prune.json", {{"from", fs::absolute(run).lexically_normal().string()},
                                  {"result", result_hash(run)},
                                  {"before", account(before)},
                                  {"after", account(after)},
                                  {"predicted_parameters", promised.parameters},
                                  {"predicted_flops_per_graph", promised.flops},
                                  {"largest_difference", difference},
                                  {"cuts", listed}});
}

}  // namespace gtrain::train
