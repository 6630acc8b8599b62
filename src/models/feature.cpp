#include "gtrain/models/feature.h"

#include <fmt/format.h>

#include <algorithm>

namespace gtrain::models {

using base::FieldVisitor;

void MergedOptions::fields(FieldVisitor& f) {
  f({.key = "rows",
     .doc = "rows of the table; the value v of column c has row v + 2 + stride c",
     .min = 1,
     .max = 1e7},
    rows);
  f({.key = "stride",
     .doc = "rows from one column's values to the next one's",
     .min = 0,
     .max = 1e6},
    stride);
}

void TypeOptions::fields(FieldVisitor& f) {
  f({.key = "count",
     .doc = "rows of the table; 0: the data set's number of categories",
     .min = 0,
     .max = 1e7},
    count);
}

void CategoricalOptions::fields(FieldVisitor& f) {
  f({.key = "counts",
     .doc = "rows of each column's table; absent: the data set's numbers of categories",
     .min = 1,
     .max = 1e7},
    counts);
  f({.key = "clamp", .doc = "categories beyond a table count as its last row"}, clamp);
  f({.key = "init",
     .doc = "xavier: U(+-sqrt(6/(rows + width))), OGB's; normal: N(0, 1)",
     .one_of = {"xavier", "normal"}},
    init);
}

void StandardisedOptions::fields(FieldVisitor& f) {
  f({.key = "mean", .doc = "subtracted from each column", .required = true}, mean);
  f({.key = "std", .doc = "each column is then divided by", .min = 1e-12, .required = true}, std);
  f.require(mean.size() == std.size(), "std",
            fmt::format("has {} entries; mean has {}", std.size(), mean.size()));
}

void UnitMlpOptions::fields(FieldVisitor& f) {
  f({.key = "layers", .doc = "layers", .min = 1, .max = 64}, layers);
}

namespace {

constexpr const char* kRows =
    "reads the rows of one column, not eigenpairs; use eigenvectors, deepset or signnet";

void common_fields(FieldVisitor& f, std::string& of, std::int64_t& dim) {
  f({.key = "of", .doc = "name of the computed encoding to learn from", .required = true}, of);
  f({.key = "dim", .doc = "channels put out", .min = 1, .max = 65536, .required = true}, dim);
}

void join_field(FieldVisitor& f, std::string& join) {
  f({.key = "join",
     .doc = "concat: beside the node vector, whose own width shrinks by dim; add: onto it",
     .one_of = {"concat", "add"}},
    join);
}

void norm_field(FieldVisitor& f, std::string& norm) {
  f({.key = "norm", .doc = "normalisation of the raw columns", .one_of = {"batch", "none"}}, norm);
}

void pool_field(FieldVisitor& f, std::string& pool) {
  f({.key = "pool",
     .doc = "reduction of a graph's nodes; graph_token: its first row, the token's",
     .one_of = {"sum", "mean", "max", "min", "graph_token"}},
    pool);
}

void flip_field(FieldVisitor& f, std::string& sign_flip) {
  f({.key = "sign_flip",
     .doc = "random signs of eigenvectors in training: one per column and batch, per column and "
            "graph, or none",
     .one_of = {"batch", "graph", "none"}},
    sign_flip);
}

void mlp_layers_field(FieldVisitor& f, std::int64_t& layers) {
  f({.key = "layers", .doc = "linear layers in all", .min = 1, .max = 64}, layers);
}

void post_layers_field(FieldVisitor& f, std::int64_t& layers) {
  f({.key = "post_layers", .doc = "linear layers after the sum", .min = 0, .max = 64}, layers);
}

void require_eigenpairs(FieldVisitor& f, const std::string& of) {
  f.require(of == "laplacian", "of", "reads eigenpairs; expected laplacian");
}

}  // namespace

void LinearEncoderOptions::fields(FieldVisitor& f) {
  common_fields(f, of, dim);
  norm_field(f, norm);
  join_field(f, join);
  f.require(of != "laplacian", "of", kRows);
}

void MlpEncoderOptions::fields(FieldVisitor& f) {
  common_fields(f, of, dim);
  f({.key = "layers", .doc = "linear layers, each followed by ReLU", .min = 1, .max = 64}, layers);
  norm_field(f, norm);
  join_field(f, join);
  f.require(of != "laplacian", "of", kRows);
}

void DeepSetEncoderOptions::fields(FieldVisitor& f) {
  common_fields(f, of, dim);
  f({.key = "layers", .doc = "linear layers applied to each eigenpair", .min = 1, .max = 64},
    layers);
  post_layers_field(f, post_layers);
  norm_field(f, norm);
  flip_field(f, sign_flip);
  join_field(f, join);
  require_eigenpairs(f, of);
}

void TransformerEncoderOptions::fields(FieldVisitor& f) {
  common_fields(f, of, dim);
  f({.key = "heads", .doc = "attention heads; divides dim", .min = 1, .max = 1024}, heads);
  f({.key = "layers", .doc = "Transformer layers", .min = 1, .max = 64}, layers);
  f({.key = "feed_width", .doc = "channels inside the feed-forward blocks", .min = 1, .max = 65536},
    feed_width);
  f({.key = "dropout",
     .doc = "of attention weights, after each block and inside the feed-forward blocks",
     .min = 0,
     .max = 0.999},
    dropout);
  post_layers_field(f, post_layers);
  norm_field(f, norm);
  flip_field(f, sign_flip);
  join_field(f, join);
  require_eigenpairs(f, of);
  f.require(dim % heads == 0, "heads",
            fmt::format("{} heads do not divide the dim {}", heads, dim));
}

void EigenvectorEncoderOptions::fields(FieldVisitor& f) {
  common_fields(f, of, dim);
  norm_field(f, norm);
  flip_field(f, sign_flip);
  join_field(f, join);
  require_eigenpairs(f, of);
}

void StableEncoderOptions::fields(FieldVisitor& f) {
  f({.key = "of", .doc = "name of the computed encoding to learn from", .required = true}, of);
  norm_field(f, norm);
  f({.key = "join", .doc = "gate: for gates of the local branch only", .one_of = {"gate"}}, join);
  require_eigenpairs(f, of);
}

void SignNetEncoderOptions::fields(FieldVisitor& f) {
  common_fields(f, of, dim);
  f({.key = "model",
     .doc = "mlp: rho on the K columns side by side; deepset: rho on the sum of those that exist",
     .one_of = {"mlp", "deepset"}},
    model);
  f({.key = "phi_layers", .doc = "GIN layers of phi", .min = 2, .max = 64}, phi_layers);
  f({.key = "phi_width", .doc = "channels inside phi and rho", .min = 1, .max = 65536}, phi_width);
  f({.key = "phi_outputs", .doc = "channels phi puts out", .min = 1, .max = 65536}, phi_outputs);
  f({.key = "rho_layers", .doc = "linear layers of rho", .min = 1, .max = 64}, rho_layers);
  join_field(f, join);
  f({.key = "quirks",
     .doc = "signnet_padded_norm: eigenvectors a graph does not have count, as zeros, in deepset's "
            "batch norms",
     .one_of = {"signnet_padded_norm"}},
    quirks);
  require_eigenpairs(f, of);
  f.require(quirks.empty() || model == "deepset", "quirks",
            "signnet_padded_norm is deepset's; mlp has a column for every eigenvector");
}

void EmbeddingEncoderOptions::fields(FieldVisitor& f) {
  common_fields(f, of, dim);
  f({.key = "count",
     .doc = "rows of each column's table; values beyond it count as its last row",
     .min = 1,
     .max = 1e7,
     .required = true},
    count);
  join_field(f, join);
  f.require(of == "weisfeiler_lehman" || of == "degree", "of",
            "has no integer columns to look up; expected weisfeiler_lehman or degree");
}

void HalvingHeadOptions::fields(FieldVisitor& f) {
  f({.key = "layers", .doc = "linear layers that halve the width", .min = 0, .max = 16}, layers);
  f({.key = "pool",
     .doc = "reduction of a graph's nodes; graph_token: its first row, the token's; none: a head "
            "of every node",
     .one_of = {"sum", "mean", "max", "min", "graph_token", "none"}},
    pool);
}

void MlpHeadOptions::fields(FieldVisitor& f) {
  mlp_layers_field(f, layers);
  pool_field(f, pool);
}

void WideHeadOptions::fields(FieldVisitor& f) {
  mlp_layers_field(f, layers);
  pool_field(f, pool);
  f({.key = "dropout", .doc = "before every linear layer", .min = 0, .max = 0.999}, dropout);
}

void GraphormerHeadOptions::fields(FieldVisitor& f) { pool_field(f, pool); }

void TransformHeadOptions::fields(FieldVisitor& f) {
  pool_field(f, pool);
  f({.key = "quirks",
     .doc = "idle_pooler: the authors' code also holds a linear map D to D that nothing reads; it "
            "counts as parameters",
     .one_of = {"idle_pooler"}},
    quirks);
}

void NodeHeadOptions::fields(FieldVisitor& f) { mlp_layers_field(f, layers); }

void EdgeHeadOptions::fields(FieldVisitor& f) {
  mlp_layers_field(f, layers);
  f({.key = "decode",
     .doc = "dot: scalar product of the ends' vectors; concat: layers on both side by side",
     .one_of = {"dot", "concat"}},
    decode);
}

const std::string& encoding_of(const EncoderOptions& options) {
  return std::visit([](const auto& o) -> const std::string& { return o.of; }, options);
}

std::int64_t joined_width(const std::vector<EncoderOptions>& encoders) {
  std::int64_t sum = 0;
  for (const EncoderOptions& encoder : encoders) {
    sum += std::visit(
        [](const auto& o) -> std::int64_t {
          if constexpr (requires { o.dim; }) return o.join == "concat" ? o.dim : 0;
          return 0;
        },
        encoder);
  }
  return sum;
}

bool makes_edge_vectors(const EdgeOptions& options) {
  return !std::holds_alternative<NoneOptions>(options) &&
         !std::holds_alternative<IdleOptions>(options);
}

bool has_gate(const std::vector<EncoderOptions>& encoders) {
  return std::any_of(encoders.begin(), encoders.end(), [](const EncoderOptions& o) {
    return std::holds_alternative<StableEncoderOptions>(o);
  });
}

bool pools_graph_token(const HeadOptions& head) {
  return std::visit(
      [](const auto& o) {
        if constexpr (requires { o.pool; }) return o.pool == "graph_token";
        return false;
      },
      head);
}

}  // namespace gtrain::models
