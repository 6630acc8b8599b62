#include "gtrain/models/feature.h"

namespace gtrain::models {

using base::FieldVisitor;

void TypeOptions::fields(FieldVisitor& f) {
  f({.key = "count",
     .doc = "rows of the table; 0: the data set's number of categories",
     .min = 0,
     .max = 1e7},
    count);
}

namespace {

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
  f({.key = "pool", .doc = "reduction of a graph's nodes", .one_of = {"sum", "mean", "max"}}, pool);
}

}  // namespace

void LinearEncoderOptions::fields(FieldVisitor& f) {
  common_fields(f, of, dim);
  norm_field(f, norm);
  join_field(f, join);
}

void MlpEncoderOptions::fields(FieldVisitor& f) {
  common_fields(f, of, dim);
  f({.key = "layers", .doc = "linear layers, each followed by ReLU", .min = 1, .max = 64}, layers);
  norm_field(f, norm);
  join_field(f, join);
}

void DeepSetEncoderOptions::fields(FieldVisitor& f) {
  common_fields(f, of, dim);
  f({.key = "layers", .doc = "linear layers applied to each eigenpair", .min = 1, .max = 64},
    layers);
  f({.key = "post_layers", .doc = "linear layers after the sum", .min = 0, .max = 64}, post_layers);
  f({.key = "sign_flip",
     .doc = "random signs of eigenvectors in training: one per column and batch, per column and "
            "graph, or none",
     .one_of = {"batch", "graph", "none"}},
    sign_flip);
  join_field(f, join);
  f.require(of == "laplacian", "of", "deepset reads eigenpairs; expected laplacian");
}

void HalvingHeadOptions::fields(FieldVisitor& f) {
  f({.key = "layers", .doc = "linear layers that halve the width", .min = 0, .max = 16}, layers);
  pool_field(f, pool);
}

void MlpHeadOptions::fields(FieldVisitor& f) {
  f({.key = "layers", .doc = "linear layers in all", .min = 1, .max = 64}, layers);
  pool_field(f, pool);
}

void NodeHeadOptions::fields(FieldVisitor& f) {
  f({.key = "layers", .doc = "linear layers in all", .min = 1, .max = 64}, layers);
}

const std::string& encoding_of(const EncoderOptions& options) {
  return std::visit([](const auto& o) -> const std::string& { return o.of; }, options);
}

}  // namespace gtrain::models
