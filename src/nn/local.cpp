#include "gtrain/nn/local.h"

#include <ATen/ops/arange.h>

#include <algorithm>

#include "gtrain/nn/gat.h"
#include "gtrain/nn/gen_conv.h"
#include "gtrain/nn/message.h"
#include "gtrain/nn/ogb_message.h"
#include "gtrain/nn/pna.h"

namespace gtrain::nn {
namespace {

constexpr std::int64_t kPnaEdgeWidth = 128;

struct Kind {
  std::string_view name;
  bool edges, gates;
  std::shared_ptr<Local> (*make)(const LocalOptions&);
};

const std::vector<Kind>& kinds() {
  using O = LocalOptions;
  using Made = std::shared_ptr<Local>;
  static const std::vector<Kind> table{
      {"gine", true, true,
       [](const O& o) -> Made { return std::make_shared<Gine>(o.width, o.activation, o.gates); }},
      {"residual_gine", true, true,
       [](const O& o) -> Made {
         return std::make_shared<Gine>(o.width, o.activation, o.gates, o.dropout);
       }},
      {"gated_gcn", true, true,
       [](const O& o) -> Made {
         return std::make_shared<GatedGcn>(o.width, o.activation, o.dropout, o.gates);
       }},
      {"gcn", false, false,
       [](const O& o) -> Made { return std::make_shared<Gcn>(o.width, o.bias); }},
      {"gin", false, false,
       [](const O& o) -> Made { return std::make_shared<Gin>(o.width, o.activation); }},
      {"genconv", true, false,
       [](const O& o) -> Made { return std::make_shared<GenConv>(o.width); }},
      {"gat", true, false,
       [](const O& o) -> Made { return std::make_shared<Gat>(o.width, o.heads); }},
      {"pna", true, false,
       [](const O& o) -> Made {
         return std::make_shared<Pna>(o.width, edge_vector_width("pna", o.width));
       }},
      {"ogb_gin", true, false,
       [](const O& o) -> Made { return std::make_shared<OgbGin>(o.width, o.edges); }},
      {"ogb_gcn", true, false,
       [](const O& o) -> Made { return std::make_shared<OgbGcn>(o.width, o.edges); }},
  };
  return table;
}

// nullptr: no such branch.
const Kind* find_kind(std::string_view name) {
  const auto it = std::find_if(kinds().begin(), kinds().end(),
                               [&](const Kind& kind) { return kind.name == name; });
  return it == kinds().end() ? nullptr : &*it;
}

}  // namespace

std::shared_ptr<Local> make_local(const std::string& name, const LocalOptions& options) {
  const Kind* kind = find_kind(name);
  TORCH_CHECK(kind != nullptr, "[local] got ", name, "; expected a local branch");
  TORCH_CHECK(kind->gates || !options.gates, "[local] ", name, " has no gates");
  return kind->make(options);
}

const std::vector<std::string_view>& local_names() {
  static const std::vector<std::string_view> names = [] {
    std::vector<std::string_view> out;
    for (const Kind& kind : kinds()) out.push_back(kind.name);
    return out;
  }();
  return names;
}

bool reads_edge_vectors(std::string_view name) {
  const Kind* kind = find_kind(name);
  return kind != nullptr && kind->edges;
}

bool needs_edge_vectors(std::string_view name) {
  return reads_edge_vectors(name) && !name.starts_with("ogb_");
}

bool supports_gates(std::string_view name) {
  const Kind* kind = find_kind(name);
  return kind != nullptr && kind->gates;
}

std::int64_t edge_vector_width(std::string_view name, std::int64_t width) {
  return name == "pna" ? std::min(kPnaEdgeWidth, width) : width;
}

ops::RowIndex by_source(const Edges& edges) {
  return {edges.source, edges.out_start, edges.out_edge};
}

ops::RowIndex by_target(const Edges& edges) {
  return {edges.target, edges.in_start, at::arange(edges.count(), edges.target.options())};
}

}  // namespace gtrain::nn
