// The largest scores of each segment on the device, as positions ascending within the segment
// (include/gtrain/ops/top_m.h has the definition: equal scores keep the lower position, NaN comes
// last, -0 equals 0). How many each segment keeps is the caller's: kept_start[s+1] - kept_start[s],
// at most its number of scores.
//
// Scores become unsigned keys in the same order, and the threshold is found bit by bit from the
// top: by ballots of one warp over keys in shared memory for up to 1024 scores, else by a block
// with histograms of 8 bits a pass. Keys above the threshold are kept, and of those equal to it the
// first ones. Integers only, so the result does not depend on any order.
//
// S: float, double, bf16, f16.
#pragma once

#include <cstdint>

#include "ops/cuda/element.h"

namespace gtrain::ops::cuda {

template <class S>
struct TopM {
  const S* score = nullptr;                  // [P]
  const std::int64_t* start = nullptr;       // [segments+1]
  const std::int64_t* kept_start = nullptr;  // [segments+1]
  std::int64_t segments = 0;
  std::int64_t longest = 0;      // the most scores of a segment: above 1024 a second launch follows
  std::int64_t* kept = nullptr;  // [kept_start[segments]]
};

template <class S>
void top_m(const TopM<S>& a, Stream stream);

}  // namespace gtrain::ops::cuda
