// Options of what stands around a model's layers: how raw node and edge columns become vectors, how
// encodings are learned and joined, and the prediction head. The modules themselves are nn layers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gtrain/base/option.h"

namespace gtrain::models {

// One embedding table over the first integer column.
struct TypeOptions {
  static constexpr std::string_view kName = "type";
  static constexpr std::string_view kDoc = "embedding of one categorical column";
  std::int64_t count = 0;  // table rows; 0: the data set's category count
  void fields(base::FieldVisitor& f);
};
// Sum of one embedding per integer column (OGB's atom and bond encoders; code2's syntax trees with
// counts [98, 10030, 21], clamp and init normal).
struct CategoricalOptions {
  static constexpr std::string_view kName = "categorical";
  static constexpr std::string_view kDoc =
      "sum of one embedding per categorical column (OGB's atom and bond encoders)";
  std::vector<std::int64_t> counts;  // table rows per column; empty: the data set's
  bool clamp = false;                // larger categories count as the last row
  std::string init = "xavier";
  void fields(base::FieldVisitor& f);
};
// One table that all columns share, laid out as Graphormer's authors do.
struct MergedOptions {
  static constexpr std::string_view kName = "merged";
  static constexpr std::string_view kDoc =
      "sum over categorical columns of rows of one shared table (Graphormer's)";
  std::int64_t rows = 4609;
  std::int64_t stride = 512;
  void fields(base::FieldVisitor& f);
};
struct LinearOptions {
  static constexpr std::string_view kName = "linear";
  static constexpr std::string_view kDoc = "linear map of the raw columns";
  void fields(base::FieldVisitor&) {}
};
// The same of columns brought to mean 0 and deviation 1 by numbers of the recipe (Toenshoff et al.
// 2023 for the superpixels of LRGB): W (x - mean) / std + b.
struct StandardisedOptions {
  static constexpr std::string_view kName = "standardised";
  static constexpr std::string_view kDoc =
      "linear map of the raw columns, each less its mean and divided by its standard deviation";
  std::vector<double> mean, std;  // per column
  void fields(base::FieldVisitor& f);
};
// GraphGym's layers before message passing: `layers` times linear without bias, batch norm, ReLU,
// rows scaled to L2 norm 1.
struct UnitMlpOptions {
  static constexpr std::string_view kName = "mlp";
  static constexpr std::string_view kDoc =
      "layers of linear without bias, batch norm, ReLU and L2-normalised rows on float columns";
  std::int64_t layers = 1;
  void fields(base::FieldVisitor& f);
};
struct ConstantOptions {
  static constexpr std::string_view kName = "constant";
  static constexpr std::string_view kDoc = "one learned vector for all (sets without features)";
  void fields(base::FieldVisitor&) {}
};
struct NoneOptions {
  static constexpr std::string_view kName = "none";
  static constexpr std::string_view kDoc = "no edge features";
  void fields(base::FieldVisitor&) {}
};
// To layers the same as none. GraphGym encodes edges whether or not a layer reads them; what it
// encodes them with counts as parameters and takes no gradient.
struct IdleOptions {
  static constexpr std::string_view kName = "idle";
  static constexpr std::string_view kDoc =
      "none, beside an encoder (categorical, or linear of float columns) that nothing reads: "
      "parameters of the authors' code";
  void fields(base::FieldVisitor&) {}
};
using NodeOptions = std::variant<TypeOptions, CategoricalOptions, MergedOptions, LinearOptions,
                                 UnitMlpOptions, ConstantOptions, StandardisedOptions>;
using EdgeOptions = std::variant<TypeOptions, CategoricalOptions, LinearOptions, ConstantOptions,
                                 NoneOptions, StandardisedOptions, IdleOptions>;

// Learned encoders of a computed encoding; tag key `kind`.
struct LinearEncoderOptions {
  static constexpr std::string_view kName = "linear";
  static constexpr std::string_view kDoc = "normalise, then one linear map K -> dim";
  std::string of = "random_walk";
  std::int64_t dim = 16;
  std::string norm = "batch";
  std::string join = "concat";
  void fields(base::FieldVisitor& f);
};
struct MlpEncoderOptions {
  static constexpr std::string_view kName = "mlp";
  static constexpr std::string_view kDoc =
      "normalise, then an MLP K -> 2 dim -> … -> dim with ReLU";
  std::string of = "random_walk";
  std::int64_t dim = 16;
  std::int64_t layers = 2;
  std::string norm = "batch";
  std::string join = "concat";
  void fields(base::FieldVisitor& f);
};
struct DeepSetEncoderOptions {
  static constexpr std::string_view kName = "deepset";
  static constexpr std::string_view kDoc =
      "sum over eigenpairs of an MLP of (eigenvector entry, eigenvalue)";
  std::string of = "laplacian";
  std::int64_t dim = 8;
  std::int64_t layers = 2;
  std::int64_t post_layers = 0;
  std::string norm = "none";
  std::string sign_flip = "batch";
  std::string join = "concat";
  void fields(base::FieldVisitor& f);
};
struct TransformerEncoderOptions {
  static constexpr std::string_view kName = "transformer";
  static constexpr std::string_view kDoc =
      "sum over eigenpairs of a Transformer among a node's (eigenvector entry, eigenvalue)";
  std::string of = "laplacian";
  std::int64_t dim = 16;
  std::int64_t heads = 4;
  std::int64_t layers = 2;
  std::int64_t feed_width = 2048;
  double dropout = 0.1;
  std::int64_t post_layers = 0;
  std::string norm = "none";
  std::string sign_flip = "batch";
  std::string join = "concat";
  void fields(base::FieldVisitor& f);
};
struct EigenvectorEncoderOptions {
  static constexpr std::string_view kName = "eigenvectors";
  static constexpr std::string_view kDoc =
      "one linear map of a node's entries of the eigenvectors (GT's Laplacian encoding)";
  std::string of = "laplacian";
  std::int64_t dim = 64;
  std::string norm = "none";
  std::string sign_flip = "batch";
  std::string join = "add";
  void fields(base::FieldVisitor& f);
};
// Positions [N, width] that gates of the local branch read (EquivStableLapPE); no part of the node
// vector.
struct StableEncoderOptions {
  static constexpr std::string_view kName = "stable";
  static constexpr std::string_view kDoc =
      "positions for equivariant-stable gates: a linear map of the eigenvectors, joined to no node";
  std::string of = "laplacian";
  std::string norm = "none";
  std::string join = "gate";
  void fields(base::FieldVisitor& f);
};
struct SignNetEncoderOptions {
  static constexpr std::string_view kName = "signnet";
  static constexpr std::string_view kDoc =
      "SignNet (Lim et al. 2022): rho of phi(v) + phi(-v), phi a GIN on each eigenvector";
  std::string of = "laplacian";
  std::int64_t dim = 16;
  std::string model = "deepset";
  std::int64_t phi_layers = 8;
  std::int64_t phi_width = 64;
  std::int64_t phi_outputs = 64;
  std::int64_t rho_layers = 3;
  std::string join = "concat";
  std::vector<std::string> quirks;
  void fields(base::FieldVisitor& f);
};
struct EmbeddingEncoderOptions {
  static constexpr std::string_view kName = "embedding";
  static constexpr std::string_view kDoc =
      "sum of one embedding per integer column (GT's Weisfeiler-Lehman roles)";
  std::string of = "weisfeiler_lehman";
  std::int64_t dim = 64;
  std::int64_t count = 0;
  std::string join = "add";
  void fields(base::FieldVisitor& f);
};
using EncoderOptions =
    std::variant<LinearEncoderOptions, MlpEncoderOptions, DeepSetEncoderOptions,
                 TransformerEncoderOptions, EigenvectorEncoderOptions, StableEncoderOptions,
                 SignNetEncoderOptions, EmbeddingEncoderOptions>;

// Graph head, or with pool none a node head: pool, then `layers` linear maps that each halve the
// width with the activation, then C.
struct HalvingHeadOptions {
  static constexpr std::string_view kName = "halving";
  static constexpr std::string_view kDoc = "pool, linear layers that halve the width, linear to C";
  std::int64_t layers = 2;
  std::string pool = "mean";
  void fields(base::FieldVisitor& f);
};
// Graph head: pool, then layers-1 hidden [Linear, ReLU, L2 row normalisation], then Linear to C.
// With layers 1 and C = 5 V it is code2's head: one linear map to V words for each position.
struct MlpHeadOptions {
  static constexpr std::string_view kName = "mlp";
  static constexpr std::string_view kDoc =
      "pool, layers-1 hidden linear+ReLU with L2-normalised rows, linear to C";
  std::int64_t layers = 1;
  std::string pool = "mean";
  void fields(base::FieldVisitor& f);
};
// Node head: the same without pooling.
struct NodeHeadOptions {
  static constexpr std::string_view kName = "node";
  static constexpr std::string_view kDoc =
      "per node: layers-1 hidden linear+ReLU with L2-normalised rows, linear to C";
  std::int64_t layers = 1;
  void fields(base::FieldVisitor& f);
};
// Graph head of GraphGPS's mlp_graph: pool, then layers-1 hidden [Drop, Linear D -> D, activation],
// then Drop and Linear to C.
struct WideHeadOptions {
  static constexpr std::string_view kName = "wide";
  static constexpr std::string_view kDoc =
      "pool, layers-1 hidden linear layers of the same width with the activation, linear to C; "
      "dropout before each";
  std::int64_t layers = 1;
  std::string pool = "mean";
  double dropout = 0.0;
  void fields(base::FieldVisitor& f);
};
// Graph head: layer norm of every node, pool, Linear to C (GraphGPS's Graphormer).
struct GraphormerHeadOptions {
  static constexpr std::string_view kName = "graphormer";
  static constexpr std::string_view kDoc = "layer norm of the nodes, pool, linear to C";
  std::string pool = "graph_token";
  void fields(base::FieldVisitor& f);
};
// Graph head of Graphormer's second version: pool, Linear D -> D, activation, layer norm, Linear to
// C without bias, plus one number.
struct TransformHeadOptions {
  static constexpr std::string_view kName = "transform";
  static constexpr std::string_view kDoc =
      "pool, linear D to D, activation, layer norm, linear to C without bias, plus one number";
  std::string pool = "graph_token";
  std::vector<std::string> quirks;
  void fields(base::FieldVisitor& f);
};
// Edge head, per asked pair of nodes (u, v). dot: the same layers without pooling and with D
// outputs, then h_u . h_v (C = 1); concat: the layers on [h_u | h_v].
struct EdgeHeadOptions {
  static constexpr std::string_view kName = "edge";
  static constexpr std::string_view kDoc =
      "per pair of nodes: layers-1 hidden linear+ReLU with L2-normalised rows and a linear layer, "
      "decoded by dot product or on the concatenated ends";
  std::int64_t layers = 1;
  std::string decode = "dot";
  void fields(base::FieldVisitor& f);
};
using HeadOptions =
    std::variant<HalvingHeadOptions, MlpHeadOptions, GraphormerHeadOptions, TransformHeadOptions,
                 NodeHeadOptions, EdgeHeadOptions, WideHeadOptions>;

// Name of the encoding an encoder reads.
const std::string& encoding_of(const EncoderOptions& options);

// Channels of the node vector that concatenated encoders take.
std::int64_t joined_width(const std::vector<EncoderOptions>& encoders);

// Whether edges become vectors that a layer can read; none and idle make none.
bool makes_edge_vectors(const EdgeOptions& options);

// Whether an encoder puts out positions for gates; whether the head reads a graph's first row,
// which only a model with a graph token gives a meaning.
bool has_gate(const std::vector<EncoderOptions>& encoders);
bool pools_graph_token(const HeadOptions& head);

}  // namespace gtrain::models
