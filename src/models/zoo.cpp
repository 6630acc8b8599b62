#include "gtrain/models/zoo.h"

#include "gtrain/base/random.h"

namespace gtrain::models {
namespace {

// FNV-1a: a stable key of a module's path.
std::uint64_t path_key(const std::string& path) {
  std::uint64_t h = 14695981039346656037ULL;
  for (const char c : path) h = (h ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  return h;
}

template <typename Options>
Entry entry(std::string_view paper, std::string_view verified) {
  return {Options::kName, paper, verified};
}

}  // namespace

const std::vector<Entry>& zoo() {
  static const std::vector<Entry> table{
      entry<GpsOptions>("Rampasek et al. 2022", "golden"),
      entry<GraphormerOptions>("Ying et al. 2021", "golden"),
      entry<GtOptions>("Dwivedi & Bresson 2021", "golden"),
      entry<MpnnOptions>("Gilmer et al. 2017, Cai et al. 2023", "golden"),
      entry<SanOptions>("Kreuzer et al. 2021", "equations"),
  };
  return table;
}

std::shared_ptr<Model> build(const ModelOptions& options, const Signature& signature) {
  return std::visit([&](const auto& o) { return build_model(o, signature); }, options);
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
