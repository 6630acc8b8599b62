// A table as pictures: for each row that others are paired with, the metric of those rows over the
// FLOPs of a graph, the seconds of inference (pruned, where that was measured) and the seconds of
// an epoch, the row itself as the reference. Rows whose labels differ in the number at their end
// alone are a series.
#pragma once

#include <string>
#include <vector>

#include "scatter.h"
#include "table_text.h"

namespace gtrain::train {

// Three a group; those without a known figure are left out.
std::vector<std::vector<Scatter>> plots_of(const FilledTable& table);

// One SVG file with all of them, a group in a row.
std::string table_svg(const FilledTable& table);
// The same as a part of a page; empty where no row is paired.
std::string plots_html(const FilledTable& table);

}  // namespace gtrain::train
