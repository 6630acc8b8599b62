#include "module_data.h"

#include <algorithm>
#include <variant>

namespace gtrain::train {

data::DatasetOptions module_data(data::DatasetOptions options) {
  options.transform.clear();
  options.target_scaling = "none";
  return options;
}

bool encodes_transformed(const data::DatasetOptions& options) {
  return std::any_of(options.transform.begin(), options.transform.end(), [](const auto& t) {
    return std::visit([](const auto& o) { return o.after == "import"; }, t);
  });
}

}  // namespace gtrain::train
