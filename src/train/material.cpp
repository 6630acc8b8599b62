#include "material.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "gtrain/base/error.h"
#include "gtrain/base/log.h"
#include "gtrain/encode/encoding.h"

namespace gtrain::train {
namespace {

using nlohmann::json;

at::Tensor row(const std::vector<double>& values, const at::Tensor& like) {
  return at::tensor(values, at::kDouble).to(like.scalar_type());
}

// Calls f(row) for the label rows of `ids`. Graph tasks: a row per graph. Node and edge tasks: the
// rows of the graph, or those a split of a single graph lists.
template <class F>
void each_label_row(const data::Dataset& dataset, const std::vector<std::int64_t>& ids, F f) {
  const data::Level level = data::level_of(dataset.info.task);
  const bool rows_are_ids = level == data::Level::kGraph || dataset.single_graph();
  const auto* start = level == data::Level::kEdge ? dataset.pair_start.as<std::int64_t>()
                                                  : dataset.node_start.as<std::int64_t>();
  for (const std::int64_t id : ids) {
    const std::int64_t first = rows_are_ids ? id : start[id];
    const std::int64_t last = rows_are_ids ? id + 1 : start[id + 1];
    for (std::int64_t r = first; r < last; ++r) f(r);
  }
}

}  // namespace

at::Tensor TargetScale::apply(const at::Tensor& label) const {
  if (mean.empty()) return label;
  return (label - row(mean, label)) / row(deviation, label);
}

at::Tensor TargetScale::undo(const at::Tensor& output) const {
  if (mean.empty()) return output;
  return output * row(deviation, output) + row(mean, output);
}

std::vector<data::Column> encode_all(const Recipe& recipe, data::Opened& opened) {
  const std::vector<data::TransformOptions>& transforms = recipe.dataset.transform;
  const auto at_stage = [&](std::vector<data::Column> columns, const char* stage) {
    data::Transformed made =
        data::transform(std::move(opened.dataset), std::move(columns), transforms, stage);
    opened.dataset = std::move(made.dataset);
    return std::move(made.encodings);
  };
  std::vector<data::Column> out = at_stage({}, "import");
  for (const encode::EncodingOptions& options : recipe.encode) {
    for (data::Column& c : encode::load_or_compute(opened.dataset, opened.store, options)) {
      out.push_back(std::move(c));
    }
  }
  return at_stage(std::move(out), "encode");
}

namespace {

// The rest, of a data set with its encodings or without.
Material seen(const Recipe& recipe, Material m) {
  m.split = data::select_split(m.opened, recipe.dataset);
  std::map<std::string, std::int64_t> widths;
  for (const encode::EncodingOptions& options : recipe.encode) {
    widths[std::string(encode::name_of(options))] = encode::width_of(options);
  }
  m.signature = models::signature_of(m.dataset(), std::move(widths));
  if (recipe.dataset.target_scaling == "standard") {
    if (!data::is_regression(m.dataset().info.task)) {
      throw base::RecipeError(
          fmt::format("dataset.target_scaling: standard does not fit the task {}",
                      data::name_of(m.dataset().info.task)));
    }
    m.scale = fit_scale(m.dataset(), m.split.train);
  }
  return m;
}

}  // namespace

Material prepare(const Recipe& recipe, data::Opened opened) {
  data::select_split(opened, recipe.dataset);  // before what may take long
  Material m;
  m.opened = std::move(opened);
  m.encodings = encode_all(recipe, m.opened);
  return seen(recipe, std::move(m));
}

Material unencoded(const Recipe& recipe, data::Opened opened) {
  Recipe bare = recipe;
  bare.encode.clear();
  Material m;
  m.opened = std::move(opened);
  m.encodings = encode_all(bare, m.opened);
  return seen(recipe, std::move(m));
}

Material prepare(const Recipe& recipe) {
  return prepare(recipe, data::open_dataset(recipe.dataset));
}

bool has_label(const data::Dataset& dataset, const std::vector<std::int64_t>& ids, bool positive) {
  bool found = false;
  const std::int64_t width = dataset.labels.width;
  data::visit(dataset.labels, [&](const auto* label) {
    each_label_row(dataset, ids, [&](std::int64_t r) {
      for (std::int64_t c = r * width; c < (r + 1) * width; ++c) {
        const bool missing = dataset.labels.integer() ? label[c] == -1 : label[c] != label[c];
        found = found || (!missing && (!positive || label[c] > 0));
      }
    });
  });
  return found;
}

TargetScale fit_scale(const data::Dataset& dataset, const std::vector<std::int64_t>& train) {
  TargetScale scale;
  const std::int64_t width = dataset.labels.width;
  const auto* label = dataset.labels.as<float>();
  for (std::int64_t c = 0; c < width; ++c) {
    double sum = 0.0, squares = 0.0, count = 0.0;
    const auto each = [&](auto f) {
      each_label_row(dataset, train, [&](std::int64_t r) {
        const double y = label[r * width + c];
        if (!std::isnan(y)) f(y);
      });
    };
    each([&](double y) { sum += y, count += 1.0; });
    const double mean = count > 0 ? sum / count : 0.0;
    each([&](double y) { squares += (y - mean) * (y - mean); });
    const double deviation = count > 0 ? std::sqrt(squares / count) : 0.0;
    scale.mean.push_back(mean);
    scale.deviation.push_back(deviation > 0.0 ? deviation : 1.0);
  }
  return scale;
}

std::map<std::string, std::string> to_strings(const Facts& facts) {
  const models::Signature& s = facts.signature;
  const json signature{{"level", static_cast<int>(s.level)},
                       {"outputs", s.outputs},
                       {"node_width", s.node_width},
                       {"edge_width", s.edge_width},
                       {"node_categories", s.node_categories},
                       {"edge_categories", s.edge_categories},
                       {"encodings", s.encodings}};
  const json scale{{"mean", facts.scale.mean}, {"deviation", facts.scale.deviation}};
  return {{"recipe_hash", facts.recipe_hash},   {"data_hash", facts.data_hash},
          {"seed", std::to_string(facts.seed)}, {"signature", signature.dump()},
          {"target_scale", scale.dump()},       {"numerics", std::to_string(facts.numerics)}};
}

void check_numerics(const Facts& facts, const std::string& origin) {
  if (facts.numerics == kNumericsVersion) return;
  const std::string theirs =
      facts.numerics == 0 ? "an older one" : fmt::format("version {}", facts.numerics);
  static std::mutex mutex;
  static std::set<std::string> said;  // a command may read a state several times
  const std::lock_guard guard(mutex);
  const std::string text = fmt::format(
      "{}: written by a gtrain of other numerics ({}; this is version {}): the same "
      "weights may give other outputs",
      origin, theirs, kNumericsVersion);
  if (said.insert(text).second) base::warn(text);
}

Facts facts_of(const std::map<std::string, std::string>& strings, const std::string& origin) {
  try {
    Facts facts;
    facts.recipe_hash = strings.at("recipe_hash");
    if (const auto it = strings.find("data_hash"); it != strings.end())
      facts.data_hash = it->second;
    facts.seed = std::stoll(strings.at("seed"));
    const auto numerics = strings.find("numerics");
    facts.numerics = numerics == strings.end() ? 0 : std::stoll(numerics->second);
    const json s = json::parse(strings.at("signature"));
    facts.signature.level = static_cast<data::Level>(s.at("level").get<int>());
    facts.signature.outputs = s.at("outputs");
    facts.signature.node_width = s.at("node_width");
    facts.signature.edge_width = s.at("edge_width");
    facts.signature.node_categories = s.at("node_categories").get<std::vector<std::int64_t>>();
    facts.signature.edge_categories = s.at("edge_categories").get<std::vector<std::int64_t>>();
    facts.signature.encodings = s.at("encodings").get<std::map<std::string, std::int64_t>>();
    const json t = json::parse(strings.at("target_scale"));
    facts.scale.mean = t.at("mean").get<std::vector<double>>();
    facts.scale.deviation = t.at("deviation").get<std::vector<double>>();
    return facts;
  } catch (const std::exception& e) {
    throw base::DataError(fmt::format(
        "{}: its facts cannot be read ({}); expected a state that gtrain wrote", origin, e.what()));
  }
}

}  // namespace gtrain::train
