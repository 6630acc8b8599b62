// result.json and summary.json: what a run, or several seeds and folds of one, came to.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "evaluation.h"

namespace gtrain::train {

using Json = nlohmann::ordered_json;

Json to_json(const Figures& figures);  // NaN as null
std::int64_t peak_rss_bytes();
Json versions();

void write_json(const std::filesystem::path& path, const Json& value);
// Throws base::DataError where the file is missing or not JSON.
Json read_json(const std::filesystem::path& path);

// Mean and unbiased deviation of every metric over the finished runs below `directory`, given as
// paths relative to it.
Json summarise(const std::filesystem::path& directory, const std::vector<std::string>& runs);

}  // namespace gtrain::train
