// Imports an OGB-style folder as often as it is asked to: for each line on stdin one import,
// durable write included, and the seconds it took on stdout.
//   gtrain_bench_import NAME FOLDER OUT.h5 THREADS
// NAME is a data set of the catalogue whose card describes the folder.
#include <fmt/format.h>
#include <tbb/global_control.h>

#include <chrono>
#include <cstdio>
#include <iostream>
#include <string>

#include "gtrain/base/error.h"
#include "gtrain/data/report.h"

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fputs("usage: gtrain_bench_import NAME FOLDER OUT.h5 THREADS\n", stderr);
    return 2;
  }
  try {
    gtrain::data::DatasetOptions options;
    options.name = argv[1];
    options.path = argv[2];
    const tbb::global_control threads(tbb::global_control::max_allowed_parallelism,
                                      std::stoull(argv[4]));
    for (std::string line; std::getline(std::cin, line);) {
      const auto begin = std::chrono::steady_clock::now();
      gtrain::data::import_folder(options, argv[3]);
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
      fmt::print("{}\n", took.count());
      std::fflush(stdout);
    }
  } catch (const gtrain::base::Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return static_cast<int>(error.code());
  }
}
