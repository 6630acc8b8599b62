// Training steps of a recipe on request: the trainer's own loop with its loader, loss, clipping and
// optimizer. For tools/bench/bench_step.py.
//   gtrain_bench_step RECIPE DATA STEPS THREADS [KEY=VALUE…]
// Line of JSON on stdout when it is ready: parameters, versions, and the graph ids of the first
// STEPS batches. Then, for each number on stdin, that many steps from the first batch on, and a
// line with the seconds they took by the clock on the wall and by phase.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/version.h>

#include <chrono>
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include "gtrain/base/error.h"
#include "gtrain/cli/thread_pool.h"
#include "gtrain/data/loader.h"
#include "gtrain/train/recipe_file.h"
#include "train/epoch.h"

namespace {

using namespace gtrain;

// The batches of epoch 1 in the trainer's order: it is a function of seed and epoch alone.
std::string first_batches(const train::Recipe& recipe, const train::Material& material,
                          std::int64_t seed, std::int64_t count) {
  data::Loader loader(material.dataset(), material.encodings, material.split.train,
                      {.batch_size = recipe.dataset.batch_size,
                       .max_nodes = recipe.dataset.max_nodes,
                       .shuffle = true,
                       .seed = static_cast<std::uint64_t>(seed)});
  loader.start_epoch(1);
  std::vector<std::string> lists;
  std::int64_t nodes = 0, edges = 0;
  for (auto batch = loader.next(); batch && std::ssize(lists) < count; batch = loader.next()) {
    lists.push_back(fmt::format("[{}]", fmt::join(batch->graph_ids, ",")));
    nodes += batch->nodes();
    edges += batch->edges();
  }
  return fmt::format("\"nodes\":{},\"edges\":{},\"batches\":[{}]", nodes, edges,
                     fmt::join(lists, ","));
}

void serve(char** argv, const std::vector<std::string>& overrides) {
  const cli::ThreadPool pool(std::stoi(argv[4]));
  train::Recipe recipe = train::load_recipe(train::find_recipe(argv[1]), overrides);
  recipe.dataset.path = argv[2];
  const train::Material material = train::prepare(recipe);
  const auto model = models::build(recipe.model, material.signature);
  constexpr std::int64_t kSeed = 0;
  models::initialise(*model, kSeed);
  train::EpochLoop loop(recipe, material, *model, kSeed);
  fmt::print("{{\"parameters\":{},\"libtorch\":\"{}\",\"threads\":{},{}}}\n",
             models::parameter_count(*model), TORCH_VERSION, pool.threads(),
             first_batches(recipe, material, kSeed, std::stoll(argv[3])));
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line);) {
    const auto begin = std::chrono::steady_clock::now();
    const train::Phases p = loop.measure(std::stoll(line));
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    fmt::print("{{\"seconds\":{},\"load\":{},\"forward\":{},\"backward\":{},\"optimizer\":{}}}\n",
               took.count(), p.load, p.forward, p.backward, p.update);
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) {
    std::fputs("usage: gtrain_bench_step RECIPE DATA STEPS THREADS [KEY=VALUE...]\n", stderr);
    return 2;
  }
  try {
    serve(argv, {argv + 5, argv + argc});
    return 0;
  } catch (const base::Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return static_cast<int>(error.code());
  }
}
