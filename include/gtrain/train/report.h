// report.html: a run as one page without external resources: what came out, curves of loss, metric
// and learning rate as inline SVG, the recipe, the versions. A directory of several seeds or folds
// gets a page with their summary and one curve each.
#pragma once

#include <filesystem>

namespace gtrain::train {

// Reads result.json or summary.json, metrics.jsonl and recipe.yaml and writes report.html beside
// them. Throws base::DataError where the directory holds no run.
void write_report(const std::filesystem::path& run_directory);

}  // namespace gtrain::train
