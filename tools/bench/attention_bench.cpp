// sparse_attention on random pairs, on request, for tools/bench/bench_attention.py.
//   gtrain_bench_sparse NODES EDGES HEADS WIDTH THREADS
// The pairs come on stdin: EDGES targets in ascending order, then EDGES sources, int64. A line of
// JSON with the memory held goes to stdout; then, for each line on stdin ("forward" or "both"), one
// run and a line with its seconds by the clock and of processor time, and the peak memory it added.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <tbb/global_control.h>
#include <torch/csrc/autograd/autograd.h>

#include <chrono>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <iostream>
#include <string>

#include "gtrain/ops/sparse_attention.h"

namespace {

using namespace gtrain;

// A line of /proc/self/status in MiB; 0 where there is none.
double memory(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind(key + ":", 0) == 0) return std::stod(line.substr(key.size() + 1)) / 1024;
  }
  return 0;
}
void reset_peak() { std::ofstream("/proc/self/clear_refs") << "5"; }

at::Tensor read_numbers(std::int64_t count) {
  at::Tensor t = at::empty({count}, at::kLong);
  std::cin.read(static_cast<char*>(t.mutable_data_ptr()), count * 8);
  return t;
}

struct Case {
  ops::AttentionPattern pattern;
  at::Tensor q, k, v, gradient;

  void run(bool backward) const {
    if (!backward) {
      const c10::AutoGradMode guard(false);
      ops::sparse_attention(q, k, v, pattern);
      return;
    }
    const at::Tensor out = ops::sparse_attention(q, k, v, pattern);
    torch::autograd::backward({out}, {gradient});
    for (const at::Tensor& t : {q, k, v}) t.mutable_grad().reset();
  }
};

Case make_case(char** argv) {
  const std::int64_t nodes = std::stoll(argv[1]), edges = std::stoll(argv[2]);
  const std::int64_t heads = std::stoll(argv[3]), width = std::stoll(argv[4]);
  Case c;
  const at::Tensor target = read_numbers(edges), source = read_numbers(edges);
  c.pattern = ops::pair_pattern(at::tensor({std::int64_t{0}, nodes}, at::kLong), target, source,
                                nodes, nodes);
  at::manual_seed(0);
  for (at::Tensor* t : {&c.q, &c.k, &c.v}) {
    *t = at::randn({nodes, heads, width / heads}).requires_grad_();
  }
  c.gradient = at::randn({nodes, heads, width / heads});
  return c;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fputs("usage: gtrain_bench_sparse NODES EDGES HEADS WIDTH THREADS\n", stderr);
    return 2;
  }
  at::set_num_threads(1);
  const tbb::global_control limit(tbb::global_control::max_allowed_parallelism,
                                  std::stoul(argv[5]));
  const Case c = make_case(argv);
  std::printf("{\"held_mb\":%.1f}\n", memory("VmRSS"));
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line);) {
    reset_peak();
    const double before = memory("VmRSS");
    const std::clock_t cpu = std::clock();
    const auto begin = std::chrono::steady_clock::now();
    c.run(line == "both");
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    std::printf("{\"seconds\":%.6f,\"cpu\":%.6f,\"peak_mb\":%.1f}\n", took.count(),
                static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC, memory("VmHWM") - before);
    std::fflush(stdout);
  }
}
