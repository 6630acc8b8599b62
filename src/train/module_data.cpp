#include "module_data.h"

#include <algorithm>
#include <variant>

#include "gtrain/data/feature.h"
#include "gtrain/data/import.h"

namespace gtrain::train {

data::DatasetOptions module_data(data::DatasetOptions options) {
  options.transform.clear();
  options.target_scaling = "none";
  if (data::made_from_graph(options.features)) {
    options.features.clear();
    options.degree_cap = 0;
  }
  return options;
}

deploy::RawFeatures made_inside(const data::DatasetOptions& options) {
  deploy::RawFeatures out{options.features, options.degree_cap, {}};
  if (out.name.empty()) {
    const auto card = data::locate(options).card;
    if (card) out.name = card->features;
  }
  return data::made_from_graph(out.name) ? out : deploy::RawFeatures{};
}

bool encodes_transformed(const data::DatasetOptions& options) {
  return std::any_of(options.transform.begin(), options.transform.end(), [](const auto& t) {
    return std::visit([](const auto& o) { return o.after == "import"; }, t);
  });
}

}  // namespace gtrain::train
