// Predictions of an exported model, with libtorch alone:  exported_model F.pt FOLDER [BATCH]
// FOLDER holds the raw files of a data set in OGB's layout, unpacked (gunzip -k raw/*.gz), with
// each bond written once and categorical columns. Prints what gtrain predict writes.
#include <torch/script.h>

#include <cstdio>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

// All numbers of a CSV file, as rows; none where a data set without such columns has no such file.
at::Tensor read(const std::string& path, std::int64_t rows, bool needed = true) {
  std::ifstream file(path);
  if (!file && needed) throw std::runtime_error(path + ": cannot be read (gunzip -k FOLDER/*.gz)");
  std::vector<std::int64_t> values;
  for (std::int64_t value; file >> value;) {
    values.push_back(value);
    const int next = file.get();
    if (next == ',' || next == '\n' || next == EOF) continue;
    throw std::runtime_error(path + ": holds more than integers and commas");
  }
  if (file.is_open() && !file.eof()) throw std::runtime_error(path + ": holds more than integers");
  return torch::tensor(values, torch::kLong).reshape({rows, rows == 0 ? 0 : -1});
}

int main(int argc, char** argv) try {
  if (argc < 3) return std::fprintf(stderr, "usage: %s F.pt FOLDER [BATCH]\n", argv[0]), 2;
  const std::string folder = std::string(argv[2]) + "/";
  const std::int64_t batch_size = argc > 3 ? std::stoll(argv[3]) : 64;
  const c10::InferenceMode no_gradients;
  torch::jit::Module model = torch::jit::load(argv[1]);
  const at::Tensor nodes = read(folder + "num-node-list.csv", 1)[0];
  const at::Tensor bonds = read(folder + "num-edge-list.csv", 1)[0];
  const std::int64_t n = nodes.sum().item<std::int64_t>(), m = bonds.sum().item<std::int64_t>();
  const at::Tensor x = read(folder + "node-feat.csv", n);
  const at::Tensor ends = read(folder + "edge.csv", 1).reshape({-1, 2});
  const at::Tensor bond = read(folder + "edge-feat.csv", m, false);
  std::int64_t node = 0, edge = 0;
  for (std::int64_t g = 0; g < nodes.size(0); g += batch_size) {
    const auto sizes = nodes.slice(0, g, g + batch_size), edges = bonds.slice(0, g, g + batch_size);
    const auto rows = sizes.sum().item<std::int64_t>(), arcs = edges.sum().item<std::int64_t>();
    const at::Tensor graph = torch::arange(sizes.size(0));
    const at::Tensor first = (sizes.cumsum(0) - sizes).repeat_interleave(edges).unsqueeze(1);
    const at::Tensor one_way = (ends.slice(0, edge, edge + arcs) + first).t();
    const at::Tensor edge_index = torch::cat({one_way, one_way.flip(0)}, 1);  // both directions
    const at::Tensor attributes = bond.slice(0, edge, edge + arcs).repeat({2, 1});
    const at::Tensor out = model
                               .forward({x.slice(0, node, node + rows), edge_index, attributes,
                                         graph.repeat_interleave(sizes)})
                               .toTensor();
    for (std::int64_t i = 0; i < out.size(0); ++i) {
      std::printf("%lld", static_cast<long long>(g + i));
      for (std::int64_t c = 0; c < out.size(1); ++c) std::printf(",%.9g", out[i][c].item<double>());
      std::printf("\n");
    }
    node += rows;
    edge += arcs;
  }
  return 0;
} catch (const std::exception& error) {
  return std::fprintf(stderr, "%s\n", error.what()), 1;
}
