// Seconds that encodings take on the first graphs of a data set, one line of JSON on stdout:
//   gtrain_bench_encode DATA GRAPHS THREADS REPEATS laplacian|random_walk SIZE
// DATA is a shipped name, a store, or an OGB-style folder that holds each undirected edge once;
// SIZE is the count or the steps.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <tbb/global_control.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "gtrain/base/error.h"
#include "gtrain/data/open.h"
#include "gtrain/encode/encoding.h"

namespace {

using namespace gtrain;

// The first n graphs, sharing the bytes of the whole.
data::Dataset head(data::Dataset dataset, std::int64_t n) {
  n = std::min(n, dataset.graphs());
  dataset.node_start.rows = n + 1;
  dataset.edge_start.rows = n + 1;
  dataset.row_start.rows = dataset.node_start.as<std::int64_t>()[n] + 1;
  dataset.source.rows = dataset.edge_start.as<std::int64_t>()[n];
  return dataset;
}

encode::EncodingOptions options_of(const std::string& name, std::int64_t size) {
  if (name == "random_walk") {
    encode::RandomWalkOptions walk;
    walk.steps = size;
    return walk;
  }
  if (name != "laplacian") throw base::RecipeError(name + ": expected laplacian or random_walk");
  encode::LaplacianOptions laplacian;
  laplacian.count = size;
  return laplacian;
}

int run(char** argv) {
  data::DatasetOptions where;
  if (std::filesystem::is_directory(argv[1])) {
    where.path = argv[1];
    where.task = "graph_binary";  // what the labels mean does not matter here
    where.metric = "rocauc";
    where.add_inverse_edge = true;
  } else {
    (std::filesystem::exists(argv[1]) ? where.path : where.name) = argv[1];
  }
  const data::Dataset dataset = head(data::open_dataset(where).dataset, std::stoll(argv[2]));
  const tbb::global_control threads(tbb::global_control::max_allowed_parallelism,
                                    std::stoull(argv[3]));
  const encode::EncodingOptions options = options_of(argv[5], std::stoll(argv[6]));
  std::vector<double> seconds;
  for (int r = 0; r < std::stoi(argv[4]); ++r) {
    const auto begin = std::chrono::steady_clock::now();
    encode::compute(dataset, options);
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  fmt::print("{{\"encoding\":\"{}\",\"graphs\":{},\"threads\":{},\"seconds\":[{}]}}\n", argv[5],
             dataset.graphs(), argv[3], fmt::join(seconds, ","));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) {
    std::fputs("usage: gtrain_bench_encode DATA GRAPHS THREADS REPEATS ENCODING SIZE\n", stderr);
    return 2;
  }
  try {
    return run(argv);
  } catch (const base::Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return static_cast<int>(error.code());
  }
}
