// For work that no op does: its operations, to whoever counts on this thread (ops/flop_count.h).
// What is a number of operations is said in docs/flops.md. Without a count it does nothing; inside
// an op, which is counted as a whole, neither.
#pragma once

#include "gtrain/ops/flop_count.h"

namespace gtrain::ops {

void note_flops(Work work, double flops);

}  // namespace gtrain::ops
