// gtrain_golden [--names PAGE] DIR…: compares gtrain with the outputs of the authors' own code,
// case by case. Prints `ok CASE worst=…`, `FAIL CASE tensor=… got … want …` or `skip CASE reason`;
// exits 0 when no case failed. With a page of tensor names, that has to give every tensor its place
// as well. Case format: tests/golden/README.md.
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <vector>

#include "golden/golden.h"
#include "golden/module_case.h"

namespace {

namespace fs = std::filesystem;
using namespace gtrain::golden;

struct Family {
  const char* prefix;  // of the case's name
  void (*check)(const Case&, Checker&);
};

// First match counts; a null function: a model or part that gtrain does not have yet.
constexpr Family kFamilies[] = {
    {"gps_layer__", check_gps_layer},
    {"drop_gps_layer_", check_gps_layer},
    {"mpnn_vn_layer_", check_gps_layer},
    {"drop_mpnn_vn_layer_", check_gps_layer},
    {"gps_", check_gps_model},
    {"drop_gps_", check_gps_model},
    {"gt_layer__", check_gt_layer},
    {"drop_gt_layer_", check_gt_layer},
    {"gt_net_", check_gt_net},
    {"drop_gt_net_", check_gt_net},
    {"traj_gt_", check_gt_trajectory},
    {"traj_gps_", check_gps_trajectory},
    {"graphormer_preprocess", check_graphormer_preprocess},
    {"graphormer_", check_graphormer},
    {"drop_graphormer_", check_graphormer},
    {"graphgps_graphormer_", check_graphormer},
    {"traj_graphormer_", check_graphormer_trajectory},
    {"encodings", check_encodings},
    {"ogb_", check_mpnn},
    {"drop_ogb_", check_mpnn},
    {"mpnn_vn_zinc_", check_mpnn},
    {"drop_mpnn_vn_zinc_", check_mpnn},
    {"vn_lrgb_", check_mpnn},
    {"vn_transform", check_vn_transform},
    {"traj_ogb_", check_ogb_trajectory},
    {"metrics", check_metrics},
    {"losses", check_losses},
    {"optim", check_optim},
    {"init_stats", check_init},
    {"gtsp_", check_gtsp},
};

std::string run(const fs::path& directory, bool& failed) {
  std::string name = directory.filename().string();
  try {
    const Case c(directory);
    name = c.name();
    for (const Family& family : kFamilies) {
      if (!name.starts_with(family.prefix)) continue;
      Checker checker;
      family.check(c, checker);
      if (!checker.failed()) {
        return fmt::format("ok {} worst={:.2g} ({})", name, checker.worst(), checker.worst_name());
      }
      failed = true;
      return fmt::format("FAIL {} {}", name, checker.failure());
    }
    return fmt::format("skip {} no such model or part in gtrain yet", name);
  } catch (const Skip& skip) {
    return fmt::format("skip {} {}", name, skip.reason);
  } catch (const c10::Error& error) {
    failed = true;
    return fmt::format("FAIL {} {}", name, error.what_without_backtrace());
  } catch (const std::exception& error) {
    failed = true;
    return fmt::format("FAIL {} {}", name, error.what());
  }
}

}  // namespace

int main(int argc, char** argv) {
  int first = 1;
  if (argc > 2 && std::string(argv[1]) == "--names") {
    hold_names(argv[2]);
    first = 3;
  }
  if (argc <= first) {
    std::fputs("usage: gtrain_golden [--names PAGE] DIR…\n", stderr);
    return 2;
  }
  at::set_num_threads(1);
  std::vector<fs::path> cases;
  for (int i = first; i < argc; ++i) {
    if (!fs::is_directory(argv[i])) {
      fmt::print(stderr, "{}: no such directory\n", argv[i]);
      return 2;
    }
    const auto links = fs::directory_options::follow_directory_symlink;
    for (const auto& entry : fs::recursive_directory_iterator(argv[i], links)) {
      if (entry.path().filename() == "case.json") cases.push_back(entry.path().parent_path());
    }
  }
  std::sort(cases.begin(), cases.end());
  bool failed = false;
  for (const fs::path& directory : cases) {
    fmt::print("{}\n", run(directory, failed));
    std::fflush(stdout);
  }
  return failed ? 1 : 0;
}
