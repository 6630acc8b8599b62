#include "gtrain/cli/thread_pool.h"

#include <ATen/Parallel.h>
#include <sched.h>
#include <tbb/global_control.h>
#include <tbb/task_scheduler_observer.h>

#include <algorithm>
#include <cstdlib>
#include <thread>

namespace gtrain::cli {

int available_threads() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

namespace {

// ATen's thread count belongs to the thread: every worker sets its own.
class SingleThreadedAten final : public tbb::task_scheduler_observer {
 public:
  SingleThreadedAten() { observe(true); }
  ~SingleThreadedAten() override { observe(false); }
  void on_scheduler_entry(bool) override { at::set_num_threads(1); }
};

}  // namespace

struct ThreadPool::Limits {
  explicit Limits(int threads)
      : control(tbb::global_control::max_allowed_parallelism, static_cast<std::size_t>(threads)) {}
  tbb::global_control control;
  SingleThreadedAten observer;
};

ThreadPool::ThreadPool(int threads) : threads_(threads > 0 ? threads : available_threads()) {
  ::setenv("OMP_NUM_THREADS", "1", 1);
  ::setenv("MKL_NUM_THREADS", "1", 1);
  at::set_num_threads(1);
  limits_ = std::make_unique<Limits>(threads_);
}

ThreadPool::~ThreadPool() = default;

}  // namespace gtrain::cli
