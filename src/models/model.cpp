#include "gtrain/models/model.h"

namespace gtrain::models {

Signature signature_of(const data::Dataset& dataset,
                       std::map<std::string, std::int64_t> encodings) {
  Signature s;
  s.level = data::level_of(dataset.info.task);
  s.outputs = dataset.outputs();
  s.node_width = dataset.node_features.width;
  s.edge_width = dataset.edge_features.width;
  s.node_categories = dataset.info.node_categories;
  s.edge_categories = dataset.info.edge_categories;
  s.encodings = std::move(encodings);
  return s;
}

}  // namespace gtrain::models
