// FLOPs of a model's forwards in evaluation (ops/flop_count.h), by module, a graph on average.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "gtrain/models/model.h"
#include "gtrain/ops/flop_count.h"
#include "gtrain/train/recipe.h"
#include "material.h"
#include "result.h"

namespace gtrain::train {

struct FlopReport {
  std::map<std::string, ops::Flops> modules;  // "layer_0.attention": of one graph
  std::int64_t graphs = 0;                    // counted
  std::set<std::string> unknown;              // operators that are not in the count

  ops::Flops total() const;
};

// Counts what runs on this thread while it lives.
class FlopMeter {
 public:
  explicit FlopMeter(models::Model& model);  // which outlives it
  FlopReport report(std::int64_t graphs) const;

 private:
  models::Model& model_;
  ops::FlopCount count_;
};

// Forwards in evaluation over `most` graphs of the train split, spread over it, or over the data
// set where it is one graph.
FlopReport count_flops(models::Model& model, const Recipe& recipe, const Material& material,
                       std::int64_t most);

// {"product": …, "attention": …, …} of one graph.
Json to_json(const ops::Flops& flops);

// A table: a row for each module, layers of one kind together as layer_*, a column for each kind of
// work, and their sum.
std::string flop_table(const FlopReport& report);

}  // namespace gtrain::train
