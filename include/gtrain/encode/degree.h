// In- and out-degrees, repeated edges and self loops counted. O(N + E).
#pragma once

#include <cstdint>
#include <span>

#include "gtrain/encode/local_graph.h"

namespace gtrain::encode {

// out: row-major [n, 2], in-degree then out-degree.
void degrees(const LocalGraph& graph, std::span<std::int32_t> out);

}  // namespace gtrain::encode
