// Varlen attention on request, for tools/bench/bench_varlen.py: forward, and forward with backward.
//   gtrain_bench_varlen SIZES HEADS WIDTH DROPOUT THREADS TYPE [HOPS BUCKETS [pair]]
// SIZES: file of int64, the graphs' nodes. HOPS: file of bytes, their distances, Σn² of them below
// BUCKETS; `pair` adds a bias per pair. TYPE: float, double, bfloat16 or half. For each number on
// stdin, that many repetitions and a line of JSON with their median milliseconds.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "gtrain/ops/varlen_attention.h"

namespace {

using namespace gtrain;

template <class T>
at::Tensor read_file(const char* path, at::ScalarType type) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  const auto count = static_cast<std::int64_t>(bytes.size() / sizeof(T));
  at::Tensor t = at::empty({count}, type);
  std::copy_n(bytes.data(), static_cast<std::size_t>(count) * sizeof(T),
              static_cast<char*>(t.mutable_data_ptr()));
  return t;
}

at::ScalarType type_named(const std::string& name) {
  if (name == "double") return at::kDouble;
  if (name == "bfloat16") return at::kBFloat16;
  return name == "half" ? at::kHalf : at::kFloat;
}

double median(std::vector<double> x) {
  std::nth_element(x.begin(), x.begin() + std::ssize(x) / 2, x.end());
  return x[x.size() / 2];
}

// {wall, processor}: medians in milliseconds. They differ where the machine is busy.
std::pair<double, double> measure(std::int64_t repetitions, const std::function<void()>& body) {
  std::vector<double> wall, processor;
  for (std::int64_t i = 0; i < repetitions; ++i) {
    const std::clock_t clock = std::clock();
    const auto begin = std::chrono::steady_clock::now();
    body();
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
    wall.push_back(took.count());
    processor.push_back(1e3 * static_cast<double>(std::clock() - clock) / CLOCKS_PER_SEC);
  }
  return {median(wall), median(processor)};
}

struct Case {
  at::Tensor qkv, graph_start;
  std::int64_t heads;
  ops::VarlenOptions options;

  at::Tensor forward() const { return ops::varlen_attention(qkv, graph_start, heads, options); }
};

Case make_case(int argc, char** argv) {
  at::manual_seed(0);
  Case c;
  const at::Tensor sizes = read_file<std::int64_t>(argv[1], at::kLong);
  c.graph_start = at::cat({at::zeros({1}, at::kLong), at::cumsum(sizes, 0)});
  c.heads = std::stoll(argv[2]);
  c.options.dropout = std::stod(argv[4]);
  c.options.key = 1;
  const std::int64_t nodes = c.graph_start[-1].item<std::int64_t>();
  c.qkv = at::randn({nodes, 3 * std::stoll(argv[3])}).to(type_named(argv[6])).requires_grad_();
  if (argc < 9) return c;
  ops::AttentionBias& bias = c.options.bias;
  bias.hops = read_file<std::uint8_t>(argv[7], at::kByte);
  bias.table = at::randn({std::stoll(argv[8]), c.heads}).mul(0.1).requires_grad_();
  if (argc > 9) {
    bias.pair = at::randn({c.heads, bias.hops.size(0)}).mul(0.1).t().requires_grad_();
  }
  return c;
}

void serve(const Case& c) {
  const at::Tensor weight = at::ones_like(c.forward().detach());
  for (std::string line; std::getline(std::cin, line);) {
    const std::int64_t repetitions = std::stoll(line);
    const auto [forward, forward_cpu] = measure(repetitions, [&] {
      const at::NoGradGuard guard;
      c.forward();
    });
    const auto [both, both_cpu] = measure(repetitions, [&] {
      for (const at::Tensor& x : {c.qkv, c.options.bias.table, c.options.bias.pair}) {
        if (x.defined()) x.mutable_grad().reset();
      }
      c.forward().backward(weight);
    });
    std::printf("{\"forward\":%.6f,\"forward_cpu\":%.6f,\"both\":%.6f,\"both_cpu\":%.6f}\n",
                forward, forward_cpu, both, both_cpu);
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 7) {
    std::fputs(
        "usage: gtrain_bench_varlen SIZES HEADS WIDTH DROPOUT THREADS TYPE [HOPS BUCKETS "
        "[pair]]\n",
        stderr);
    return 2;
  }
  at::set_num_threads(1);
  const int threads = std::stoi(argv[5]);
  const tbb::global_control limit(tbb::global_control::max_allowed_parallelism,
                                  static_cast<std::size_t>(threads));
  tbb::task_arena arena(threads);
  arena.execute([&] { serve(make_case(argc, argv)); });
  return 0;
}
