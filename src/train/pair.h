// Pairs of an edge task beyond those that the files list: random negatives for training, and every
// candidate tail for ranking (PCQM-Contact).
//
// Negatives (structured negative sampling): for each positive (s, t), `each` pairs (s, v) with v
// uniform over the graph's nodes, s included; no positive, none twice. Where ten more draws find
// nothing new the pair is left out. Listed pairs with label 0 give way to them.
// Candidates: for each positive (s, t), the pairs (s, v) with all nodes v of its graph.
#pragma once

#include <cstdint>
#include <vector>

#include "gtrain/data/batch.h"
#include "gtrain/train/metric.h"

namespace gtrain::train {

// Replaces pairs and labels [P, 1] of a batch: its positives, then negatives, a function of (seed,
// epoch, graph id) and not of the batch they are in.
void draw_negatives(data::GraphBatch& batch, std::int64_t each, std::int64_t seed,
                    std::int64_t epoch);

// The batch's pairs with all candidates after them: int64 [P + Σ n, 2].
at::Tensor with_candidates(const data::GraphBatch& batch);

// Ranks of the positives from the scores [P + Σ n, 1] of with_candidates(batch).
std::vector<Rank> ranks_of(const data::GraphBatch& batch, const at::Tensor& scores);

}  // namespace gtrain::train
