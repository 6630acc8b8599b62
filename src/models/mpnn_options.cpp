// The keys of `mpnn` and which of them fit each other.
#include <fmt/format.h>

#include <algorithm>

#include "gtrain/models/mpnn.h"
#include "gtrain/nn/local.h"

namespace gtrain::models {
namespace {

// Names of the layers that exist: the local branches and GCNII.
std::vector<std::string_view> layer_names() {
  std::vector<std::string_view> names = nn::local_names();
  names.emplace_back("gcnii");
  return names;
}

bool reads_edges(const std::string& local) {
  return local != "gcnii" && nn::reads_edge_vectors(local);
}

// Parts that fit each other.
void require_fit(base::FieldVisitor& f, const MpnnOptions& o) {
  f.require(o.local != "gated_gcn" || (o.norm == "none" && o.residual && o.last_activation),
            "local",
            "gated_gcn has its own norm, activation and residual; expected norm: none, residual: "
            "true, last_activation: true");
  const auto names = layer_names();
  if (std::find(names.begin(), names.end(), o.local) == names.end()) return;
  const bool edges = !std::holds_alternative<NoneOptions>(o.edge);
  f.require(edges || !reads_edges(o.local), "edge",
            o.local + " needs edge vectors; use constant where the data set has none");
  f.require(!edges || reads_edges(o.local), "edge", o.local + " reads none; expected name: none");
  f.require(edges || o.edge_vectors == "shared", "edge_vectors", "own: there are no edge vectors");
  f.require(!has_gate(o.encoders) || (o.local != "gcnii" && nn::supports_gates(o.local)),
            "encoders", o.local + " has no gates for join: gate");
  f.require(!o.heads || o.local == "gat", "heads", o.local + " has none");
  f.require(o.width % o.heads.value_or(1) == 0, "heads",
            fmt::format("{} heads do not divide the width {}", o.heads.value_or(1), o.width));
  if (const auto* a = std::get_if<AttentionVirtualNodeOptions>(&o.virtual_node)) {
    f.require(o.width % a->heads == 0, "virtual_node.heads",
              fmt::format("{} heads do not divide the width {}", a->heads, o.width));
  }
  f.require(
      joined_width(o.encoders) <= o.width, "encoders",
      fmt::format("concatenated dims make {}; the width is {}", joined_width(o.encoders), o.width));
  f.require(!pools_graph_token(o.head), "head.pool", "graph_token: the model has none");
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

void MpnnOptions::fields(base::FieldVisitor& f) {
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
     .doc = "node vectors that the head reads: those after the last layer, or the sum of all",
     .one_of = {"last", "sum"}},
    jump);
  f({.key = "edge_vectors",
     .doc = "shared by all layers, or each layer's own encoder",
     .one_of = {"shared", "own"}},
    edge_vectors);
  f({.key = "virtual_node", .doc = "state beside the graph; one in the graph is dataset.transform"},
    virtual_node);
  f({.key = "node", .doc = "raw node columns to vectors", .required = true}, node);
  f({.key = "edge", .doc = "raw edge columns to vectors", .required = true}, edge);
  f({.key = "encoders", .doc = "learned encoders of computed encodings", .tag = "kind"}, encoders);
  f({.key = "head", .doc = "prediction head", .required = true}, head);
  require_fit(f, *this);
}

}  // namespace gtrain::models
