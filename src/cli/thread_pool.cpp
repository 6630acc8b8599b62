#include "gtrain/cli/thread_pool.h"

#include <sched.h>
#include <tbb/global_control.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <thread>

#include "gtrain/train/serial_aten.h"

namespace gtrain::cli {

int available_threads() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

struct ThreadPool::Limits {
  explicit Limits(int threads)
      : control(tbb::global_control::max_allowed_parallelism, static_cast<std::size_t>(threads)) {}
  tbb::global_control control;
  train::SerialAten serial;
};

ThreadPool::ThreadPool(int threads) : threads_(threads > 0 ? threads : available_threads()) {
  ::setenv("OMP_NUM_THREADS", "1", 1);
  ::setenv("MKL_NUM_THREADS", "1", 1);
  ::setenv("GTRAIN_THREADS", std::to_string(threads_).c_str(), 1);  // of fused modules
  limits_ = std::make_unique<Limits>(threads_);
}

ThreadPool::~ThreadPool() = default;

}  // namespace gtrain::cli
