// The frame of gtrain_golden: a case is a folder of tensors that a model's own authors' code put
// out; a family is the function that computes the same with gtrain and compares. Families are
// listed in main.cpp; cases are recognised by case.json, never by a list of names.
#pragma once

#include <ATen/ATen.h>

#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "gtrain/base/safetensors.h"

namespace gtrain::golden {

// One folder, tensors of both precisions loaded.
class Case {
 public:
  explicit Case(const std::filesystem::path& directory);

  const std::string& name() const { return name_; }
  const nlohmann::json& info() const { return info_; }
  const std::filesystem::path& directory() const { return directory_; }

  bool has(const std::string& key) const;
  // Inputs, parameters and buffers: from the fp32 file, floating ones cast to `type`.
  at::Tensor input(const std::string& key, at::ScalarType type) const;
  // Results: from the file of the given precision (kFloat | kDouble), as double or integer.
  bool expects(const std::string& key, at::ScalarType type) const;
  at::Tensor expected(const std::string& key, at::ScalarType type) const;
  // All keys of the fp32 file that start with `prefix`, the prefix removed.
  std::vector<std::string> keys(const std::string& prefix) const;

  // What the tensor `key` was called in the files: several that were joined.
  std::vector<std::string> origin(const std::string& key) const;

  // Gives every tensor the name `name_of` makes of its own, in both files.
  void rename(const std::function<std::string(const std::string&)>& name_of);
  // Puts the parts that stand there one below the other, under `name` and in `shape`, in both
  // files; nothing where one is missing.
  void join(const std::string& name, const std::vector<std::string>& parts,
            const std::vector<std::int64_t>& shape);

 private:
  std::filesystem::path directory_;
  std::string name_;
  nlohmann::json info_;
  base::Safetensors single_, double_;
  std::map<std::string, std::vector<std::string>> origin_;  // of renamed ones
};

struct Tolerance {
  double atol = 1e-10;
  double rtol = 1e-8;
};

// fp64: the fixed one; fp32: case.json's entry of the group ("output", "grad", …).
Tolerance tolerance(const Case& c, const std::string& group, at::ScalarType type);

// Collects comparisons of one case; the first failure is reported, the worst ratio
// |got - want| / (atol + rtol |want|) always.
class Checker {
 public:
  void close(const std::string& what, const at::Tensor& got, const at::Tensor& want,
             const Tolerance& tolerance);
  void close(const std::string& what, double got, double want, const Tolerance& tolerance);
  void fail(const std::string& what);

  bool failed() const { return !failure_.empty(); }
  const std::string& failure() const { return failure_; }
  double worst() const { return worst_; }
  const std::string& worst_name() const { return worst_name_; }

 private:
  std::string failure_, worst_name_;
  double worst_ = 0;
};

// Thrown by a family for a part that gtrain does not have; ends the case as skip.
struct Skip {
  std::string reason;
};

// A family compares everything a case holds. Each is defined in the file of its name.
void check_gps_layer(const Case& c, Checker& checker);
void check_gps_model(const Case& c, Checker& checker);
void check_gt_layer(const Case& c, Checker& checker);
void check_gt_net(const Case& c, Checker& checker);
void check_gt_trajectory(const Case& c, Checker& checker);
void check_gps_trajectory(const Case& c, Checker& checker);
void check_mpnn(const Case& c, Checker& checker);
void check_ogb_trajectory(const Case& c, Checker& checker);
void check_vn_transform(const Case& c, Checker& checker);
void check_graphormer(const Case& c, Checker& checker);
void check_graphormer_preprocess(const Case& c, Checker& checker);
void check_graphormer_trajectory(const Case& c, Checker& checker);
void check_encodings(const Case& c, Checker& checker);
void check_metrics(const Case& c, Checker& checker);
void check_losses(const Case& c, Checker& checker);
void check_optim(const Case& c, Checker& checker);
void check_init(const Case& c, Checker& checker);
void check_gtsp(const Case& c, Checker& checker);

}  // namespace gtrain::golden
