// How much a model at hand would lose by each of its rules alone, at several keeps: the curves that
// a measured trade-off (sparsify/trade_off.h) is made of. Nothing is trained:
//   tokens   chosen by the rule's scorer; in the place of a learned one, which has learned nothing
//            yet, by the attention that nodes get, or else by the untrained scorer
//   heads    the least important by |Σ A ∂L/∂A| over some batches of the train split
//   layers   those whose closing alone raises the loss least
//   weights  the smallest
// The loss is that of the recipe on graphs of the split valid, or train where there is none.
#pragma once

#include <string>
#include <vector>

#include "evaluation.h"
#include "flop_report.h"
#include "gtrain/sparsify/trade_off.h"
#include "material.h"

namespace gtrain::train {

struct Sensitivity {
  std::string split;
  std::int64_t graphs = 0;
  double loss = 0;  // of the model as it is
  sparsify::PartFlops dense;
  std::vector<sparsify::Curve> curves;  // by rule
};

// `model`: the recipe's, its gates doing nothing yet; left as it is. A function of its weights and
// the data alone, with any number of threads.
Sensitivity measure_sensitivity(const Recipe& recipe, const Material& material,
                                models::Model& model);

// By module, without products with zeros.
sparsify::PartFlops parts_of(const FlopReport& report);

}  // namespace gtrain::train
