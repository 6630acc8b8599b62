#include "gtrain/ops/flop_note.h"

#include "ops/detail/op_count.h"

namespace gtrain::ops {

void note_flops(Work work, double flops) {
  const detail::OpCount count;
  if (count) count.add(work, flops);
}

}  // namespace gtrain::ops
