// Metrics of pairs with labels 1 and 0: all positives against all negatives, or ranks within
// graphs.
#pragma once

#include <cstdint>

#include "gtrain/train/metric.h"

namespace gtrain::train {

double mean_reciprocal_rank(const Scores& scores);
double hits(std::int64_t k, const Scores& scores);

// Mean over graphs of the mean of `part` over each one's positives; NaN without any.
double graph_rank(const Scores& scores, double Rank::*part);
// Likewise of raw rank <= k.
double graph_hits(std::int64_t k, const Scores& scores);

}  // namespace gtrain::train
