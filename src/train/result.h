// result.json and summary.json: what a run, or several seeds and folds of one, came to.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "evaluation.h"

namespace gtrain::train {

using Json = nlohmann::ordered_json;

Json to_json(const Figures& figures);  // NaN as null

// What a line says of a model that is made sparse: FLOPs of a graph (0: not said), and what is
// switched off (redundancy.h; null: nothing).
struct SparseFigures {
  double flops = 0;
  Json switched_off{};
};

// A line of metrics.jsonl with its newline.
std::string metrics_line(std::int64_t epoch, const char* split, const Figures& figures, double rate,
                         double seconds, double graphs_per_second,
                         const SparseFigures& sparse = {});

// Of the bytes of result.json in `run`; empty where there is none.
std::string result_hash(const std::filesystem::path& run);

// What the lines of metrics.jsonl say of time: seconds in all and of training, and graphs trained
// on.
struct Times {
  double all = 0.0, train = 0.0, graphs = 0.0;
};
Times times_in(const std::string& lines);

std::int64_t peak_rss_bytes();
Json versions();

void write_json(const std::filesystem::path& path, const Json& value);
// A result.json or summary.json. Throws base::DataError where the file is missing, no JSON object,
// or holds a value of another kind than gtrain writes.
Json read_json(const std::filesystem::path& path);

// A line of metrics.jsonl; nothing where it is none, as the half line a killed run may end with.
std::optional<Json> metrics_of(const std::string& line);

// Mean and unbiased deviation of every metric over the finished runs below `directory`, given as
// paths relative to it.
Json summarise(const std::filesystem::path& directory, const std::vector<std::string>& runs);

}  // namespace gtrain::train
