#include "gtrain/nn/global.h"

#include <algorithm>

#include "gtrain/nn/attention.h"
#include "gtrain/nn/bigbird.h"
#include "gtrain/nn/deep_sets.h"
#include "gtrain/nn/performer.h"

namespace gtrain::nn {
namespace {

using Made = std::shared_ptr<Global>;
using O = GlobalOptions;

struct Kind {
  std::string_view name;
  Made (*make)(const O&);
};

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> table{
      {"attention",
       [](const O& o) -> Made { return std::make_shared<Attention>(o.width, o.heads, o.dropout); }},
      {"biased",
       [](const O& o) -> Made {
         return std::make_shared<Attention>(o.width, o.heads, o.dropout, true);
       }},
      {"performer",
       [](const O& o) -> Made {
         return std::make_shared<Performer>(o.width, o.heads, o.dropout, o.performer);
       }},
      {"bigbird",
       [](const O& o) -> Made {
         return std::make_shared<BigBird>(o.width, o.heads, o.dropout, o.bigbird);
       }},
      {"deep_sets",
       [](const O& o) -> Made { return std::make_shared<DeepSets>(o.width, o.deep_sets); }},
  };
  return table;
}

}  // namespace

std::shared_ptr<Global> make_global(const std::string& name, const GlobalOptions& options) {
  const auto it = std::find_if(kinds().begin(), kinds().end(),
                               [&](const Kind& kind) { return kind.name == name; });
  TORCH_CHECK(it != kinds().end(), "[global] got ", name, "; expected a global branch");
  return it->make(options);
}

const std::vector<std::string_view>& global_names() {
  static const std::vector<std::string_view> names = [] {
    std::vector<std::string_view> out;
    for (const Kind& kind : kinds()) out.push_back(kind.name);
    return out;
  }();
  return names;
}

}  // namespace gtrain::nn
