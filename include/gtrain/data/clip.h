// Large graphs cut short on import: of a graph with more than `most` nodes the first `most` stay,
// with the edges among them (GraphGPS clips ogbg-code2 to 1000). A label of the whole graph stays
// as it is.
#pragma once

#include <cstdint>

#include "gtrain/data/folder.h"

namespace gtrain::data {

// Changes a folder that was read at graph level; graphs of `most` nodes or fewer keep their rows.
// Throws base::DataError, with file and row, for an edge that leaves its graph. O(N + E).
void keep_first_nodes(Folder& folder, std::int64_t most);

}  // namespace gtrain::data
