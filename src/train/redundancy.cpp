#include "redundancy.h"

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <map>
#include <sstream>

#include "evaluation.h"
#include "gtrain/sparsify/census.h"
#include "predict.h"

namespace gtrain::train {
namespace {

// The epoch since which each switch of one gate is off: of the last unbroken row of lines that say
// so.
class History {
 public:
  History(const std::string& lines, std::int64_t last) {
    std::istringstream text(lines);
    for (std::string each; std::getline(text, each);) {
      const std::optional<Json> line = metrics_of(each);
      if (!line || line->at("split") != "train" || line->value("epoch", last + 1) > last) continue;
      note(line->value("epoch", std::int64_t{0}), line->value("switched_off", Json::object()));
    }
  }

  Json since(const std::string& gate, std::size_t index) const {
    const auto it = since_.find({gate, index});
    return it == since_.end() ? Json(nullptr) : Json(it->second);
  }

 private:
  using Switch = std::pair<std::string, std::size_t>;

  void note(std::int64_t epoch, const Json& off) {
    std::map<Switch, std::int64_t> now;
    for (const auto& [gate, places] : off.items()) {
      for (const Json& place : places) {
        const Switch one{gate, place.get<std::size_t>()};
        const auto before = since_.find(one);
        now[one] = before == since_.end() ? epoch : before->second;
      }
    }
    since_ = std::move(now);
  }

  std::map<Switch, std::int64_t> since_;
};

// Nodes of one kind and how many of them left.
struct Count {
  std::int64_t nodes = 0, left = 0;
};
using Counts = std::map<std::int64_t, Count>;

Json to_json(const Counts& counts, const char* key) {
  Json out = Json::array();
  for (const auto& [value, count] : counts) {
    out.push_back({{key, value}, {"nodes", count.nodes}, {"left", count.left}});
  }
  return out;
}

struct Place {
  Count all;
  Counts types, degrees;
};

// What of a batch nodes are told apart by.
struct Kinds {
  explicit Kinds(const data::GraphBatch& batch) {
    const at::Tensor starts = batch.in_start.contiguous();
    const auto* start = starts.const_data_ptr<std::int64_t>();
    for (std::int64_t i = 0; i < batch.nodes(); ++i) degree.push_back(start[i + 1] - start[i]);
    if (!batch.node.defined() || batch.node.scalar_type() != at::kLong || batch.node.size(1) == 0) {
      return;
    }
    const at::Tensor first = batch.node.select(1, 0).contiguous();
    type.assign(first.const_data_ptr<std::int64_t>(),
                first.const_data_ptr<std::int64_t>() + first.numel());
  }
  std::vector<std::int64_t> degree, type;  // type: empty where nodes have none
};

void add(const Kinds& kinds, const sparsify::TokenWatch::Choice& choice, Place& place) {
  auto stays = choice.stayed.begin();
  for (std::size_t i = 0; i < kinds.degree.size(); ++i) {
    const auto node = static_cast<std::int64_t>(i);
    if (std::binary_search(choice.absent.begin(), choice.absent.end(), node)) continue;
    stays = std::find_if(stays, choice.stayed.end(), [&](std::int64_t n) { return n >= node; });
    const bool left = !choice.all && (stays == choice.stayed.end() || *stays != node);
    const auto count = [&](Count& c) {
      c.nodes += 1;
      c.left += left ? 1 : 0;
    };
    count(place.all);
    count(place.degrees[kinds.degree[i]]);
    if (!kinds.type.empty()) count(place.types[kinds.type[i]]);
  }
}

Json nodes_of(models::Model& model, const Recipe& recipe, const Material& material) {
  sparsify::TokenWatch watch(model);
  if (watch.empty()) return nullptr;
  const std::pair<const char*, const std::vector<std::int64_t>*> splits[] = {
      {"test", &material.split.test},
      {"valid", &material.split.valid},
      {"train", &material.split.train}};
  const auto* split = std::find_if(std::begin(splits), std::end(splits),
                                   [](const auto& s) { return !s.second->empty(); });
  const std::vector<std::int64_t> whole{0};
  const bool single = material.dataset().single_graph();
  data::Loader loader(material.dataset(), material.encodings, single ? whole : *split->second,
                      plain_loading(recipe));
  std::map<std::string, Place> places;
  std::vector<std::string> order;
  for_each_output(model, loader, [&](const data::GraphBatch& batch, const at::Tensor&) {
    const Kinds kinds(batch);
    for (const sparsify::TokenWatch::Choice& choice : watch.take(batch.graph_start)) {
      if (places.count(choice.of) == 0) order.push_back(choice.of);
      add(kinds, choice, places[choice.of]);
    }
  });
  Json listed = Json::array();
  for (const std::string& of : order) {
    const Place& place = places.at(of);
    Json one{{"of", of}, {"nodes", place.all.nodes}, {"left", place.all.left}};
    if (!place.types.empty()) one["by_type"] = to_json(place.types, "type");
    one["by_degree"] = to_json(place.degrees, "degree");
    listed.push_back(one);
  }
  return {{"split", split->first}, {"places", listed}};
}

Json switch_json(const sparsify::Switches& gate, const History& history) {
  Json since = Json::array();
  for (std::size_t i = 0; i < gate.open.size(); ++i) {
    since.push_back(gate.open[i] ? Json(nullptr) : history.since(gate.of, i));
  }
  Json out{{"of", gate.of}};
  if (gate.heads) {
    out["open"] = gate.open;
    out["closed_after_epoch"] = since;
    if (!gate.probability.empty()) out["probability"] = gate.probability;
  } else {
    out["open"] = static_cast<bool>(gate.open[0]);
    out["closed_after_epoch"] = since[0];
    if (!gate.probability.empty()) out["probability"] = gate.probability[0];
  }
  return out;
}

}  // namespace

Json switched_off(models::Model& model) {
  Json out;
  for (const sparsify::Switches& gate : sparsify::switches(model)) {
    for (std::size_t i = 0; i < gate.open.size(); ++i) {
      if (!gate.open[i]) out[gate.of].push_back(i);
    }
  }
  return out;
}

Json redundancy_of(models::Model& model, const Recipe& recipe, const Material& material,
                   const std::string& lines, std::int64_t epoch) {
  const History history(lines, epoch);
  Json out = {{"epoch", epoch}, {"heads", Json::array()}, {"branches", Json::array()}};
  for (const sparsify::Switches& gate : sparsify::switches(model)) {
    out[gate.heads ? "heads" : "branches"].push_back(switch_json(gate, history));
  }
  Json weights = Json::array();
  if (recipe.sparsify) {
    for (const sparsify::Density& d : sparsify::densities(model, *recipe.sparsify)) {
      weights.push_back({{"of", d.of}, {"living", d.living}, {"all", d.all}});
    }
  }
  out["weights"] = weights;
  out["nodes"] = nodes_of(model, recipe, material);
  return out;
}

}  // namespace gtrain::train
