// GraphGPS models of the golden cases: the options their yaml stands for, and their batches.
#pragma once

#include "golden/module_case.h"
#include "gtrain/models/gps.h"

namespace gtrain::golden {

struct GpsCase {
  std::shared_ptr<models::Model> model;
  bool node_level = false;
};

// Built from case.json and the parameters' shapes; Skip for parts that gtrain does not have.
GpsCase build_gps_case(const Case& c);

// A batch with encodings; `prefix` is "input." or "input.b<k>.".
Batch read_gps_batch(const Case& c, const std::string& prefix, at::ScalarType type);

// The case's loss of the model's raw output.
at::Tensor gps_loss(const Case& c, const at::Tensor& output, const at::Tensor& label);

}  // namespace gtrain::golden
