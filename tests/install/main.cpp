// Opens the bundled molecules of an installed gtrain and counts their connected components, so that
// headers, static rooms, the kernel library, third parties and shared files all have to be there.
#include <cstdio>
#include <string>

#include "gtrain/base/error.h"
#include "gtrain/data/open.h"
#include "gtrain/graph/component.h"
#include "gtrain/graph/csr.h"
#include "gtrain/models/zoo.h"

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  try {
    gtrain::data::DatasetOptions options;
    options.path = std::string(argv[1]) + "/datasets/freesolv";
    const auto opened = gtrain::data::open_dataset(options);
    const gtrain::graph::Id path_source[] = {0, 1, 3};
    const gtrain::graph::Id path_target[] = {1, 2, 4};
    const auto graph = gtrain::graph::symmetrise(gtrain::graph::build(5, path_source, path_target));
    std::printf("graphs %lld models %zu components %lld\n",
                static_cast<long long>(opened.dataset.graphs()), gtrain::models::zoo().size(),
                static_cast<long long>(gtrain::graph::components(graph).count));
  } catch (const gtrain::base::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return static_cast<int>(error.code());
  }
  return 0;
}
