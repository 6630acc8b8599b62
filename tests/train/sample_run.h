// A tiny data set on disk and a recipe for it, for tests that train for real.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "gtrain/train/recipe_file.h"
#include "gtrain/train/run.h"
#include "support/temporary_directory.h"
#include "train/predict.h"

namespace gtrain::train {

inline std::string text_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream out;
  out << in.rdbuf();
  return out.str();
}

inline void write_text(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

// Rings of 3 to 7 nodes with types by position; the label is a smooth function of both.
inline void write_rings(const std::filesystem::path& folder, int graphs) {
  std::string nodes, edges, node, edge, type, label, split[3];
  for (int g = 0; g < graphs; ++g) {
    const int n = 3 + g % 5;
    nodes += std::to_string(n) + "\n";
    edges += std::to_string(n) + "\n";
    for (int i = 0; i < n; ++i) {
      node += std::to_string((i * g) % 4) + "\n";
      edge += std::to_string(i) + "," + std::to_string((i + 1) % n) + "\n";
      type += std::to_string((i + g) % 3) + "\n";
    }
    label += std::to_string(10.0 + 0.3 * n + 0.1 * (g % 4)) + "\n";
    split[g % 5 < 3 ? 0 : g % 5 - 2] += std::to_string(g) + "\n";
  }
  const auto raw = folder / "raw";
  write_text(raw / "num-node-list.csv.gz", gzip(nodes));
  write_text(raw / "num-edge-list.csv.gz", gzip(edges));
  write_text(raw / "edge.csv.gz", gzip(edge));
  write_text(raw / "node-feat.csv.gz", gzip(node));
  write_text(raw / "edge-feat.csv.gz", gzip(type));
  write_text(raw / "graph-label.csv.gz", gzip(label));
  for (const char* scheme : {"random", "fold0", "fold1"}) {
    const auto to = folder / "split" / scheme;
    const bool swap = std::string(scheme) == "fold1";
    write_text(to / "train.csv.gz", gzip(split[0]));
    write_text(to / "valid.csv.gz", gzip(split[swap ? 2 : 1]));
    write_text(to / "test.csv.gz", gzip(split[swap ? 1 : 2]));
  }
}

// One ring with chords: the class of a node is its type's parity. Nodes by their number mod 5:
// three parts train, one valid, one test.
inline void write_one_graph(const std::filesystem::path& folder, int n) {
  std::string edge, type, node, label, split[3];
  for (int i = 0; i < n; ++i) {
    type += "0\n1\n";
    edge += std::to_string(i) + "," + std::to_string((i + 1) % n) + "\n";
    edge += std::to_string(i) + "," + std::to_string((i * i + 3) % n) + "\n";
    node += std::to_string((i * 7) % 4) + "\n";
    label += std::to_string((i * 7) % 2) + "\n";
    split[i % 5 < 3 ? 0 : i % 5 - 2] += std::to_string(i) + "\n";
  }
  const auto raw = folder / "raw";
  write_text(raw / "num-node-list.csv.gz", gzip(std::to_string(n) + "\n"));
  write_text(raw / "num-edge-list.csv.gz", gzip(std::to_string(2 * n) + "\n"));
  write_text(raw / "edge.csv.gz", gzip(edge));
  write_text(raw / "node-feat.csv.gz", gzip(node));
  write_text(raw / "edge-feat.csv.gz", gzip(type));
  write_text(raw / "node-label.csv.gz", gzip(label));
  const auto to = folder / "split" / "random";
  write_text(to / "train.csv.gz", gzip(split[0]));
  write_text(to / "valid.csv.gz", gzip(split[1]));
  write_text(to / "test.csv.gz", gzip(split[2]));
}

// Each test has its own data, cache and run directories.
class TrainedSample : public ::testing::Test {
 protected:
  TrainedSample() {
    ::setenv("GTRAIN_CACHE", (root() / "cache").c_str(), 1);
    write_rings(root() / "rings", 40);
  }

  std::filesystem::path root() const { return directory_.path(); }

  Recipe recipe(const std::vector<std::string>& overrides = {}) const {
    return parse_recipe(
        "dataset: {path: " + (root() / "rings").string() +
            ", task: graph_regression, metric: mae, split: random, add_inverse_edge: true,"
            " batch_size: 6}\n"
            "model: {name: gps, width: 8, layers: 2, heads: 2, dropout: 0.1, attention_dropout: "
            "0.1,"
            " node: {name: type}, edge: {name: type}, head: {name: halving, layers: 1, pool: "
            "mean}}\n"
            "train: {epochs: 4, schedule: {name: cosine}, clip_norm: 1.0}\n",
        "sample", overrides);
  }

  RunOptions options(const std::string& name) const {
    RunOptions o;
    o.directory = root() / name;
    o.quiet = true;
    return o;
  }

  nlohmann::json result(const std::string& name) const {
    return nlohmann::json::parse(text_of(root() / name / "result.json"));
  }

  std::vector<nlohmann::json> metric_lines(const std::string& name) const {
    std::vector<nlohmann::json> out;
    std::istringstream text(text_of(root() / name / "metrics.jsonl"));
    for (std::string line; std::getline(text, line);) out.push_back(nlohmann::json::parse(line));
    return out;
  }

  // The same without what a clock or the process decides.
  std::vector<nlohmann::json> timeless_lines(const std::string& name) const {
    auto out = metric_lines(name);
    for (auto& line : out) {
      line.erase("seconds");
      line.erase("graphs_per_second");
    }
    return out;
  }

 private:
  test::TemporaryDirectory directory_;
};

}  // namespace gtrain::train
