#include "gtrain/encode/degree.h"

namespace gtrain::encode {

void degrees(const LocalGraph& graph, std::span<std::int32_t> out) {
  const std::vector<std::int32_t> outgoing = graph.out_degrees();
  for (std::size_t i = 0; i < outgoing.size(); ++i) {
    out[2 * i] = static_cast<std::int32_t>(graph.row(static_cast<std::int32_t>(i)).size());
    out[2 * i + 1] = outgoing[i];
  }
}

}  // namespace gtrain::encode
