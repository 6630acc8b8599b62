#include "gtrain/models/zoo.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "gtrain/base/random.h"
#include "gtrain/models/gps.h"
#include "gtrain/models/graphormer.h"
#include "gtrain/models/graphtrans.h"
#include "gtrain/models/gt.h"
#include "gtrain/models/mpnn.h"
#include "gtrain/models/san.h"

namespace gtrain::models {
namespace {

// FNV-1a: a stable key of a module's path.
std::uint64_t path_key(const std::string& path) {
  std::uint64_t h = 14695981039346656037ULL;
  for (const char c : path) h = (h ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  return h;
}

}  // namespace

const Zoo& zoo() {
  static const Zoo table{
      entry<GpsOptions>("Rampasek et al. 2022", "golden"),
      entry<GraphormerOptions>("Ying et al. 2021", "golden"),
      entry<GraphTransOptions>("Wu et al. 2021", "equations"),
      entry<GtOptions>("Dwivedi & Bresson 2021", "golden"),
      entry<MpnnOptions>("Gilmer et al. 2017, Cai et al. 2023", "golden"),
      entry<SanOptions>("Kreuzer et al. 2021", "equations"),
  };
  return table;
}

Zoo::Zoo(std::initializer_list<Entry> entries) {
  for (const Entry& e : entries) add(e);
}

void Zoo::add(Entry entry) {
  if (find(entry.name) != nullptr) {
    throw std::invalid_argument(fmt::format("zoo: {} is in the table already", entry.name));
  }
  entries_.push_back(std::move(entry));
}

const Entry* Zoo::find(std::string_view name) const {
  const auto it = std::find_if(entries_.begin(), entries_.end(),
                               [&](const Entry& e) { return e.name == name; });
  return it == entries_.end() ? nullptr : &*it;
}

std::vector<base::ChoiceAccess::Alternative> ModelChoice::alternatives() const {
  std::vector<Alternative> out;
  for (const Entry& e : zoo_) out.push_back({e.name, e.defaults.doc()});
  return out;
}

bool ModelChoice::select(std::string_view name) {
  const Entry* entry = zoo_.find(name);
  if (entry != nullptr) value_ = entry->defaults;
  return entry != nullptr;
}

void ModelChoice::describe(std::size_t i, base::FieldVisitor& visitor) {
  ModelOptions fresh = (zoo_.begin() + static_cast<std::ptrdiff_t>(i))->defaults;
  fresh.visit(visitor);
}

std::shared_ptr<Model> build(const ModelOptions& options, const Signature& signature) {
  return options.build(signature);
}

void initialise(Model& model, std::uint64_t seed) {
  std::vector<std::pair<std::string, nn::Layer*>> layers;
  model.apply([&](const std::string& path, torch::nn::Module& module) {
    if (auto* layer = dynamic_cast<nn::Layer*>(&module)) layers.emplace_back(path, layer);
  });
  // Children first: a model may draw the weights of its layers anew.
  for (auto it = layers.rbegin(); it != layers.rend(); ++it) {
    base::Random random(base::key(seed, base::Purpose::kInit, path_key(it->first)));
    it->second->initialise(random);
  }
}

std::int64_t parameter_count(const Model& model) {
  std::int64_t count = 0;
  for (const at::Tensor& p : model.parameters()) count += p.numel();
  return count;
}

}  // namespace gtrain::models
