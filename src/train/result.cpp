#include "result.h"

#include <fmt/format.h>
#include <oneapi/tbb/version.h>
#include <sys/resource.h>
#include <torch/version.h>

#include <algorithm>
#include <cmath>
#include <sstream>
#include <utility>

#include "gtrain/base/durable.h"
#include "gtrain/base/error.h"
#include "numerics.h"

namespace gtrain::train {
namespace {

namespace fs = std::filesystem;

Json statistics(const std::vector<double>& values) {
  double sum = 0.0, squares = 0.0;
  for (const double v : values) sum += v;
  const double n = static_cast<double>(values.size());
  const double mean = sum / n;
  for (const double v : values) squares += (v - mean) * (v - mean);
  Json out{{"mean", mean}};
  out["std"] = values.size() > 1 ? Json(std::sqrt(squares / (n - 1.0))) : Json(nullptr);
  out["values"] = values;
  return out;
}

// What is read again from result.json and summary.json.
enum class Kind { kText, kTextOrNull, kNumber, kMap, kTexts, kMaps };
constexpr std::pair<const char*, Kind> kKinds[] = {
    {"status", Kind::kText},       {"metric", Kind::kTextOrNull}, {"problem", Kind::kText},
    {"best_epoch", Kind::kNumber}, {"n", Kind::kNumber},          {"seconds", Kind::kNumber},
    {"train", Kind::kMap},         {"valid", Kind::kMap},         {"test", Kind::kMap},
    {"versions", Kind::kMap},      {"runs", Kind::kTexts},        {"unfinished", Kind::kTexts},
    {"failed", Kind::kMaps},
};

bool is_of(const Json& json, Kind kind) {
  const auto all = [&](auto is) {
    return json.is_array() && std::all_of(json.begin(), json.end(), is);
  };
  switch (kind) {
    case Kind::kText:
      return json.is_string();
    case Kind::kTextOrNull:
      return json.is_string() || json.is_null();
    case Kind::kNumber:
      return json.is_number();
    case Kind::kMap:
      return json.is_object();
    case Kind::kTexts:
      return all([](const Json& j) { return j.is_string(); });
    case Kind::kMaps:
      return all([](const Json& j) { return j.is_object(); });
  }
  return false;
}

}  // namespace

Json to_json(const Figures& figures) {
  Json out = Json::object();
  for (const auto& [name, value] : figures) {
    out[name] = std::isfinite(value) ? Json(value) : Json(nullptr);
  }
  return out;
}

std::string metrics_line(std::int64_t epoch, const char* split, const Figures& figures, double rate,
                         double seconds, double graphs_per_second, const SparseFigures& sparse) {
  Json line{{"epoch", epoch}, {"split", split}};
  line.update(to_json(figures));
  line["lr"] = rate;
  line["seconds"] = seconds;
  line["graphs_per_second"] = graphs_per_second;
  if (sparse.flops > 0) line["sparse_flops_per_graph"] = sparse.flops;
  if (!sparse.switched_off.is_null()) line["switched_off"] = sparse.switched_off;
  return line.dump() + "\n";
}

Times times_in(const std::string& lines) {
  Times times;
  std::istringstream text(lines);
  for (std::string each; std::getline(text, each);) {
    const std::optional<Json> json = metrics_of(each);
    if (!json) continue;
    const double seconds = json->value("seconds", 0.0);
    times.all += seconds;
    if (json->at("split") != "train") continue;
    times.train += seconds;
    times.graphs += seconds * json->value("graphs_per_second", 0.0);
  }
  return times;
}

std::int64_t peak_rss_bytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::int64_t>(usage.ru_maxrss) * 1024;  // Linux counts KiB
}

Json versions() {
  return {{"gtrain", GTRAIN_VERSION},
          {"numerics", kNumericsVersion},
          {"torch", TORCH_VERSION},
          {"tbb", TBB_runtime_version()},
          {"compiler", "g++ " __VERSION__}};
}

void write_json(const fs::path& path, const Json& value) {
  // Paths need not be UTF-8.
  base::write_durable(path, value.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

Json read_json(const fs::path& path) {
  const Json json = Json::parse(base::read_file(path), nullptr, false);
  std::string wrong;
  if (!json.is_object()) wrong = json.is_discarded() ? "is not JSON" : "holds no JSON object";
  for (const auto& [key, kind] : kKinds) {
    if (wrong.empty() && json.contains(key) && !is_of(json[key], kind)) {
      wrong = fmt::format("{} is {}", key, json[key].dump().substr(0, 40));
    }
  }
  if (!wrong.empty()) {
    throw base::DataError(
        fmt::format("{}: {}; expected the file as gtrain wrote it", path.string(), wrong));
  }
  return json;
}

std::string result_hash(const std::filesystem::path& run) {
  const std::filesystem::path path = run / "result.json";
  return std::filesystem::exists(path) ? base::hash_hex(base::read_file(path)) : "";
}

std::optional<Json> metrics_of(const std::string& line) {
  Json json = Json::parse(line, nullptr, false);
  if (!json.is_object() || !json.contains("split") || !json["split"].is_string()) return {};
  for (const char* key : {"epoch", "seconds", "graphs_per_second"}) {
    if (json.contains(key) && !json[key].is_number()) return {};
  }
  return json;
}

Json summarise(const fs::path& directory, const std::vector<std::string>& runs) {
  Json out{{"n", 0}, {"metric", nullptr}};
  Json failed = Json::array(), finished = Json::array(), unfinished = Json::array();
  Json values = Json::object();
  std::int64_t n = 0;
  for (const std::string& name : runs) {
    const fs::path path = directory / name / "result.json";
    const Json result = fs::exists(path) ? read_json(path) : Json::object();
    const std::string status = result.value("status", "interrupted");
    if (status == "interrupted") {  // goes on when the run is resumed
      unfinished.push_back(name);
      continue;
    }
    if (status != "ok") {
      failed.push_back({{"run", name}, {"status", status}});
      continue;
    }
    ++n;
    finished.push_back(name);
    out["metric"] = result.value("metric", Json());
    for (const char* split : {"train", "valid", "test"}) {
      if (!result.contains(split)) continue;
      for (const auto& [key, value] : result.at(split).items()) {
        if (value.is_number()) values[split][key].push_back(value);
      }
    }
  }
  out["n"] = n;
  out["runs"] = finished;
  out["failed"] = failed;
  if (!unfinished.empty()) out["unfinished"] = unfinished;
  for (const auto& [split, metrics] : values.items()) {
    for (const auto& [key, list] : metrics.items()) {
      out[split][key] = statistics(list.get<std::vector<double>>());
    }
  }
  return out;
}

}  // namespace gtrain::train
