#include "predict.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <iterator>
#include <numeric>

#include "gtrain/base/error.h"
#include "gtrain/base/log.h"
#include "gtrain/data/catalog.h"
#include "gtrain/train/build.h"
#include "gtrain/train/checkpoint.h"
#include "gtrain/train/recipe_file.h"
#include "gtrain/train/run_directory.h"

namespace gtrain::train {
namespace {

namespace fs = std::filesystem;

// The runs inside a directory of several seeds or folds.
std::string runs_below(const fs::path& directory) {
  std::string out;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (entry.path().filename() != "last.safetensors") continue;
    out += " " + entry.path().parent_path().string();
  }
  return out;
}

// A state and the file it is in.
struct State {
  fs::path path;
  Checkpoint checkpoint;
};

State selected_state(const fs::path& directory, const Recipe& recipe) {
  const fs::path best = directory / "best.safetensors", last = directory / "last.safetensors";
  std::vector<std::string> skipped;
  std::optional<Checkpoint> newest = newest_generation(directory, skipped);
  if (recipe.select == "best" && fs::exists(best)) {
    State out{best, read_checkpoint(best)};
    if (newest) check_same_run(out.checkpoint, *newest, best);
    return out;
  }
  for (const std::string& why : skipped) base::warn(fmt::format("skipped: {}", why));
  if (!newest) {
    throw base::DataError(
        fmt::format("{}: no state verifies; expected last.safetensors", directory.string()));
  }
  if (recipe.select == "best" && newest->progress.best_epoch > 0) {
    throw base::DataError(
        fmt::format("{}: is missing; the run chose epoch {}, and {} holds epoch {}", best.string(),
                    newest->progress.best_epoch, last.filename().string(), newest->progress.epoch));
  }
  return {last, std::move(*newest)};
}

void append_values(std::string& out, const float* row, std::int64_t columns) {
  for (std::int64_t c = 0; c < columns; ++c) {
    fmt::format_to(std::back_inserter(out), ",{:.9g}", row[c]);
  }
  out += '\n';
}

// As a field of CSV (RFC 4180).
std::string quoted(const std::string& word) {
  if (word.find_first_of(",\"\r\n") == std::string::npos) return word;
  std::string out = "\"";
  for (const char c : word) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + '"';
}

// Words of decided tokens, from the vocabulary; "" after the last.
void append_words(std::string& out, const float* row, std::int64_t columns,
                  const std::vector<std::string>& vocabulary) {
  for (std::int64_t c = 0; c < columns; ++c) {
    const bool word = row[c] >= 0 && row[c] < static_cast<float>(vocabulary.size());
    out += "," + (word ? quoted(vocabulary[static_cast<std::size_t>(row[c])]) : "");
  }
  out += '\n';
}

// What stands before the values of row r.
void append_place(std::string& out, const data::GraphBatch& batch, data::Level level,
                  std::int64_t r) {
  const auto graph_of = [&](std::int64_t node) {
    return batch.graph.const_data_ptr<std::int64_t>()[node];
  };
  const auto* start = batch.graph_start.const_data_ptr<std::int64_t>();
  const auto id = [&](std::int64_t g) { return batch.graph_ids[static_cast<std::size_t>(g)]; };
  auto to = std::back_inserter(out);
  if (level == data::Level::kGraph) {
    fmt::format_to(to, "{}", id(r));
  } else if (level == data::Level::kNode) {
    const std::int64_t node =
        batch.label_row.defined() ? batch.label_row.const_data_ptr<std::int64_t>()[r] : r;
    const std::int64_t g = graph_of(node);
    fmt::format_to(to, "{},{}", id(g), node - start[g]);
  } else {
    const auto* pair = batch.pair.const_data_ptr<std::int64_t>() + 2 * r;
    const std::int64_t g = graph_of(pair[0]);
    fmt::format_to(to, "{},{},{}", id(g), pair[0] - start[g], pair[1] - start[g]);
  }
}

// Row r of a node task is of a node that a transform added.
bool is_virtual(const data::GraphBatch& batch, std::int64_t r) {
  return is_added(
      batch, batch.label_row.defined() ? batch.label_row.const_data_ptr<std::int64_t>()[r] : r);
}

}  // namespace

bool is_added(const data::GraphBatch& batch, std::int64_t node) {
  const std::int64_t g = batch.graph.const_data_ptr<std::int64_t>()[node];
  return node + 1 == batch.graph_start.const_data_ptr<std::int64_t>()[g + 1];
}

Selected load_selected(const fs::path& directory, const models::Zoo& zoo) {
  const fs::path recipe_path = directory / "recipe.yaml";
  if (!fs::exists(recipe_path)) {
    throw base::DataError(
        fmt::format("{}: not there; expected a run directory", recipe_path.string()));
  }
  Selected out;
  out.recipe = load_recipe(recipe_path, {}, zoo);
  if (!holds_state(directory) && !fs::exists(directory / "best.safetensors")) {
    const std::string below = runs_below(directory);
    if (below.empty()) {
      throw base::DataError(
          fmt::format("{}: holds no saved state; expected last.safetensors", directory.string()));
    }
    throw base::RecipeError(
        fmt::format("{}: holds several runs; name one of:{}", directory.string(), below));
  }
  const auto [path, checkpoint] = selected_state(directory, out.recipe);
  out.facts = facts_of(checkpoint.facts, path.string());
  check_numerics(out.facts, path.string());
  const bool same_program = out.facts.numerics == kNumericsVersion;
  if (same_program && out.facts.recipe_hash != recipe_hash(out.recipe)) {
    base::warn(
        fmt::format("{}: is not the recipe that {} was trained with: outputs may be others "
                    "than the run's",
                    recipe_path.string(), path.filename().string()));
  }
  out.model = build_model(out.recipe, out.facts.signature, checkpoint.model);
  load_model_tensors(*out.model, checkpoint.model, path.string());
  out.model->eval();
  return out;
}

Recipe with_data(Recipe recipe, const data::DatasetOptions& data) {
  data::DatasetOptions own = recipe.dataset;
  recipe.dataset = data;
  data::DatasetOptions& d = recipe.dataset;
  d.target_scaling = "none";  // the model's own scale is in its state
  if (d.features.empty()) d.features = own.features;
  if (!d.add_inverse_edge) d.add_inverse_edge = own.add_inverse_edge;
  if (!d.clip_nodes && fs::path(d.path).extension() != ".h5") d.clip_nodes = own.clip_nodes;
  if (d.task.empty()) d.task = own.task;
  if (d.metric.empty()) d.metric = own.metric;
  d.transform = own.transform;
  return recipe;
}

Material shown(const Recipe& recipe, const std::string& split) {
  data::Opened opened = data::open_dataset(recipe.dataset);
  if (split != "all") return prepare(recipe, std::move(opened));
  Recipe own = recipe;
  own.dataset.split = split;
  own.dataset.fold = -1;
  opened.dataset.splits = {{split, {}}};
  return prepare(own, std::move(opened));
}

std::optional<data::Card> card_of(const data::DatasetOptions& dataset) {
  if (dataset.name.empty()) return std::nullopt;
  return data::find_card(dataset.name, data::Shipped::kWelcome);
}

std::string task_of(const data::DatasetOptions& dataset) {
  if (!dataset.task.empty()) return dataset.task;
  const auto card = card_of(dataset);
  return card ? card->task : "";
}

void check_signature(const models::Signature& of_data, const Trained& model,
                     const data::DatasetInfo& info) {
  const models::Signature& of_model = model.signature;
  const auto refuse = [&](const std::string& what) {
    throw base::DataError(fmt::format("{}: {}", info.name, what));
  };
  if (of_data.level != of_model.level)
    refuse("its labels belong to another level than the model's");
  if (!model.task.empty()) {
    const data::Task own = data::task_named(model.task);
    if (data::is_class(info.task) != data::is_class(own) ||
        data::is_regression(info.task) != data::is_regression(own) ||
        data::is_subtoken(info.task) != data::is_subtoken(own)) {
      refuse(fmt::format("its task is {}; the model was trained for {}", data::name_of(info.task),
                         model.task));
    }
  }
  const bool classes = data::is_class(info.task) && !data::is_subtoken(info.task);
  if (classes ? of_data.outputs > of_model.outputs : of_data.outputs != of_model.outputs) {
    refuse(fmt::format("its task {} asks for {} outputs; the model has {}",
                       data::name_of(info.task), of_data.outputs, of_model.outputs));
  }
  const auto columns = [&](const char* what, std::int64_t has, std::int64_t wants,
                           const std::vector<std::int64_t>& counts,
                           const std::vector<std::int64_t>& known) {
    if (has != wants || counts.size() != known.size()) {
      refuse(fmt::format("{} {} columns; expected {} as in training", has, what, wants));
    }
    for (std::size_t c = 0; c < counts.size(); ++c) {
      if (counts[c] > known[c]) {
        refuse(fmt::format("{} column {} has {} categories; expected at most the {} of training",
                           what, c, counts[c], known[c]));
      }
    }
  };
  columns("node", of_data.node_width, of_model.node_width, of_data.node_categories,
          of_model.node_categories);
  columns("edge", of_data.edge_width, of_model.edge_width, of_data.edge_categories,
          of_model.edge_categories);
}

std::vector<std::int64_t> ids_of(const Material& material, const std::string& split) {
  std::vector<std::int64_t> ids;
  if (split == "train") {
    ids = material.split.train;
  } else if (split == "valid") {
    ids = material.split.valid;
  } else if (split == "test") {
    ids = material.split.test;
  } else if (split == "all") {
    const data::Dataset& d = material.dataset();
    ids.resize(static_cast<std::size_t>(d.single_graph() ? d.nodes() : d.graphs()));
    std::iota(ids.begin(), ids.end(), std::int64_t{0});
  } else {
    throw base::RecipeError(
        fmt::format("--split {}: unknown; known: train, valid, test, all", split));
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

Forward forward_of(models::Model& model, const TargetScale& scale) {
  model.eval();
  return [&model, scale](const data::GraphBatch& batch) {
    nn::Context context;
    return scale.undo(model.forward(batch, context));
  };
}

std::string prediction_rows(const Forward& forward, const Material& material,
                            std::vector<std::int64_t> ids, const Rows& as) {
  const data::Dataset& d = material.dataset();
  const data::Level level = data::level_of(d.info.task);
  std::string out = level == data::Level::kGraph  ? "graph"
                    : level == data::Level::kNode ? "graph,node"
                                                  : "graph,source,target";
  const std::int64_t positions = d.info.positions;  // of subtoken tasks, else 0
  const std::int64_t width = positions > 0 ? positions : as.outputs;
  for (std::int64_t c = 0; c < width; ++c) {
    out += fmt::format(",{}{}", positions > 0 ? "token" : "task", c);
  }
  out += '\n';
  data::Loader loader(d, material.encodings, std::move(ids), as.loading);
  const at::NoGradGuard no_grad;
  loader.start_epoch(1);
  while (const auto batch = loader.next()) {
    const at::Tensor rows = labelled_rows(forward(*batch), *batch);
    const at::Tensor output =
        (positions > 0 ? decided_tokens(rows.unflatten(1, {positions, -1})) : rows)
            .to(at::kFloat)
            .contiguous();
    TORCH_CHECK(output.dim() == 2 && output.size(1) == width, "[predict] outputs of shape ",
                output.sizes(), "; expected ", width, " columns");
    for (std::int64_t r = 0; r < output.size(0); ++r) {
      if (level == data::Level::kNode && d.info.virtual_node && is_virtual(*batch, r)) continue;
      append_place(out, *batch, level, r);
      const auto* row = output.const_data_ptr<float>() + r * width;
      if (positions > 0) {
        append_words(out, row, width, d.info.vocabulary);
      } else {
        append_values(out, row, width);
      }
    }
  }
  return out;
}

std::string gzip(const std::string& bytes) {
  z_stream stream{};
  constexpr int kGzipWindow = 15 + 16;  // + 16: gzip instead of zlib framing
  if (deflateInit2(&stream, 6, Z_DEFLATED, kGzipWindow, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
    throw base::ResourceError("gzip: no memory for the compressor");
  }
  std::string out;
  std::string block(std::size_t{1} << 20, '\0');
  std::size_t at = 0;
  int state = Z_OK;
  while (state != Z_STREAM_END) {
    const std::size_t take = std::min(bytes.size() - at, block.size());
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data() + at));
    stream.avail_in = static_cast<uInt>(take);
    stream.next_out = reinterpret_cast<Bytef*>(block.data());
    stream.avail_out = static_cast<uInt>(block.size());
    state = deflate(&stream, at + take == bytes.size() ? Z_FINISH : Z_NO_FLUSH);
    at += take - stream.avail_in;
    out.append(block.data(), block.size() - stream.avail_out);
  }
  deflateEnd(&stream);
  return out;
}

}  // namespace gtrain::train
