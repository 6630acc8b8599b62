#include "gtrain/nn/node_pair.h"

#include <algorithm>

namespace gtrain::nn {

ops::AttentionPattern other_node_pattern(const at::Tensor& graph_start) {
  // A window as wide as the largest graph, without its middle.
  const std::int64_t* start = graph_start.const_data_ptr<std::int64_t>();
  std::int64_t largest = 0;
  for (std::int64_t g = 0; g + 1 < graph_start.size(0); ++g) {
    largest = std::max(largest, start[g + 1] - start[g]);
  }
  return ops::window_pattern(graph_start, {.width = largest, .self = false});
}

std::string other_node_script() {
  return "def other_nodes(self, batch: Tensor) -> Tensor:\n"
         "    if batch.numel() == 0:\n"
         "        return torch.zeros([2, 0], dtype=4, device=batch.device)\n"
         "    count = torch.bincount(batch)\n"
         "    first = (torch.cumsum(count, 0) - count).index_select(0, batch)\n"
         "    others = count.index_select(0, batch) - 1\n"
         "    node = torch.arange(batch.size(0), device=batch.device)\n"
         "    target = torch.repeat_interleave(node, others)\n"
         "    before = torch.cumsum(others, 0) - others\n"
         "    place = torch.arange(target.size(0), device=batch.device) - "
         "before.index_select(0, target)\n"
         "    source = first.index_select(0, target) + place\n"
         "    return torch.stack([source + (source >= target).to(4), target])\n";
}

}  // namespace gtrain::nn
