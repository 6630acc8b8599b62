// The keys of a message-passing network and which of them fit each other.
#include <fmt/format.h>

#include <algorithm>

#include "gtrain/models/message_network.h"
#include "gtrain/nn/local.h"

namespace gtrain::models {
namespace {

// Names of the layers that exist: the local branches and GCNII.
std::vector<std::string_view> layer_names() {
  std::vector<std::string_view> names = nn::local_names();
  names.emplace_back("gcnii");
  return names;
}

}  // namespace

void ClassicVirtualNodeOptions::fields(base::FieldVisitor& f) {
  f({.key = "pool",
     .doc = "node vectors that it sums: what a layer reads (OGB) or what it puts out",
     .one_of = {"input", "output"}},
    pool);
  f({.key = "expansion", .doc = "hidden width of its MLP, in widths", .min = 1, .max = 64},
    expansion);
  f({.key = "residual", .doc = "added to its own value before"}, residual);
}

void HeterogeneousVirtualNodeOptions::fields(base::FieldVisitor& f) {
  f({.key = "pool", .doc = "reduction of the nodes", .one_of = {"sum", "mean"}}, pool);
  f({.key = "residual", .doc = "added to its own value before"}, residual);
}

void AttentionVirtualNodeOptions::fields(base::FieldVisitor& f) {
  f({.key = "heads", .doc = "heads H; divides width", .min = 1, .max = 1024}, heads);
  f({.key = "features",
     .doc = "elu: elu(x) + 1 (linear transformer); exp: positive random features (Performer)",
     .one_of = {"elu", "exp"}},
    features);
  f({.key = "count", .doc = "random features of exp", .min = 1, .max = 65536}, count);
}

void MessageNetworkOptions::fields(base::FieldVisitor& f) {
  f({.key = "width", .doc = "channels d of nodes and edges", .min = 1, .max = 65536}, width);
  f({.key = "layers", .doc = "message-passing layers L", .min = 1, .max = 1024}, layers);
  f({.key = "local", .doc = "message passing of a layer", .one_of = layer_names()}, local);
  f({.key = "heads", .doc = "of gat (4 when absent); divides width", .min = 1, .max = 1024}, heads);
  f({.key = "norm",
     .doc = "after message passing; batch: over all rows of the batch; layer: over all nodes and "
            "channels of a graph",
     .one_of = {"batch", "layer", "none"}},
    norm);
  f({.key = "activation", .doc = "of the layers and the head", .one_of = {"relu", "gelu"}},
    activation);
  f({.key = "last_activation", .doc = "false: none after the last layer"}, last_activation);
  f({.key = "dropout",
     .doc = "after the activation, and on what updates a virtual node",
     .min = 0,
     .max = 0.999},
    dropout);
  f({.key = "residual", .doc = "a layer's input is added to its output"}, residual);
  f({.key = "unit_rows", .doc = "node vectors are scaled to L2 norm 1 after each layer"},
    unit_rows);
  f({.key = "jump",
     .doc =
         "node vectors that come out: those after the last layer, the sum of all, or those before "
         "the first layer and after the last one side by side",
     .one_of = {"last", "sum", "concat"}},
    jump);
  f({.key = "edge_vectors",
     .doc = "shared by all layers, or each layer's own encoder",
     .one_of = {"shared", "own"}},
    edge_vectors);
  f({.key = "virtual_node", .doc = "state beside the graph; one in the graph is dataset.transform"},
    virtual_node);
}

void require_fit(base::FieldVisitor& f, const MessageNetworkOptions& o, const NetworkInput& input,
                 const std::string& path) {
  const auto require = [&](bool holds, const char* key, const std::string& message,
                           bool own = true) { f.require(holds, (own ? path : "") + key, message); };
  const bool own = o.local == "gated_gcn" || o.local == "residual_gine";
  require(!own || (o.norm == "none" && o.residual && o.last_activation), "local",
          o.local +
              " has its own norm, activation and residual; expected norm: none, residual: true, "
              "last_activation: true");
  const auto names = layer_names();
  if (std::find(names.begin(), names.end(), o.local) == names.end()) return;
  const bool edges = makes_edge_vectors(input.edge);
  require(edges || !nn::needs_edge_vectors(o.local), "edge",
          o.local + " needs edge vectors; use constant where the data set has none", false);
  require(!edges || nn::reads_edge_vectors(o.local), "edge",
          o.local + " reads none; expected name: none or idle", false);
  require(edges || o.edge_vectors == "shared", "edge_vectors", "own: there are no edge vectors");
  require(!has_gate(input.encoders) || nn::supports_gates(o.local), "encoders",
          o.local + " has no gates for join: gate", false);
  require(!o.heads || o.local == "gat", "heads", o.local + " has none");
  require(o.width % o.heads.value_or(1) == 0, "heads",
          fmt::format("{} heads do not divide the width {}", o.heads.value_or(1), o.width));
  if (const auto* a = std::get_if<AttentionVirtualNodeOptions>(&o.virtual_node)) {
    require(o.width % a->heads == 0, "virtual_node.heads",
            fmt::format("{} heads do not divide the width {}", a->heads, o.width));
  }
  const std::int64_t joined = joined_width(input.encoders);
  require(joined <= o.width, "encoders",
          fmt::format("concatenated dims make {}; the width is {}", joined, o.width), false);
}

}  // namespace gtrain::models
