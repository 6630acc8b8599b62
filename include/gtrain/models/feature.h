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
// Sum of one embedding per integer column, table sizes from the data set (OGB atom and bond
// encoders).
struct CategoricalOptions {
  static constexpr std::string_view kName = "categorical";
  static constexpr std::string_view kDoc =
      "sum of one embedding per categorical column (OGB's atom and bond encoders)";
  void fields(base::FieldVisitor&) {}
};
struct LinearOptions {
  static constexpr std::string_view kName = "linear";
  static constexpr std::string_view kDoc = "linear map of the raw columns";
  void fields(base::FieldVisitor&) {}
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
using NodeOptions = std::variant<TypeOptions, CategoricalOptions, LinearOptions, ConstantOptions>;
using EdgeOptions =
    std::variant<TypeOptions, CategoricalOptions, LinearOptions, ConstantOptions, NoneOptions>;

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
  std::string sign_flip = "batch";
  std::string join = "concat";
  void fields(base::FieldVisitor& f);
};
using EncoderOptions = std::variant<LinearEncoderOptions, MlpEncoderOptions, DeepSetEncoderOptions>;

// Graph head: pool, then `layers` linear maps that each halve the width with the activation, then
// C.
struct HalvingHeadOptions {
  static constexpr std::string_view kName = "halving";
  static constexpr std::string_view kDoc = "pool, linear layers that halve the width, linear to C";
  std::int64_t layers = 2;
  std::string pool = "mean";
  void fields(base::FieldVisitor& f);
};
// Graph head: pool, then layers-1 hidden [Linear, ReLU, L2 row normalisation], then Linear to C.
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
using HeadOptions = std::variant<HalvingHeadOptions, MlpHeadOptions, NodeHeadOptions>;

// Name of the encoding an encoder reads, and the columns it takes.
const std::string& encoding_of(const EncoderOptions& options);

}  // namespace gtrain::models
