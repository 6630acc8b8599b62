#include "gtrain/cli/thread_pool.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <tbb/blocked_range.h>
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>

#include <atomic>
#include <cstdlib>

namespace gtrain::cli {
namespace {

TEST(ThreadPool, UsesAllAvailableProcessorsByDefault) {
  EXPECT_GE(available_threads(), 1);
  EXPECT_EQ(ThreadPool(0).threads(), available_threads());
}

TEST(ThreadPool, BoundsTheThreadsWhileItLives) {
  const auto allowed = [] {
    return tbb::global_control::active_value(tbb::global_control::max_allowed_parallelism);
  };
  const std::size_t before = allowed();
  {
    const ThreadPool pool(1);
    EXPECT_EQ(allowed(), 1U);
  }
  EXPECT_EQ(allowed(), before);
}

TEST(ThreadPool, HoldsAtenToOneThreadInEveryWorker) {
  const ThreadPool pool(4);
  EXPECT_EQ(at::get_num_threads(), 1);
  std::atomic<int> most{0};
  tbb::parallel_for(tbb::blocked_range<int>(0, 256, 1), [&](const auto&) {
    int seen = most;
    while (at::get_num_threads() > seen &&
           !most.compare_exchange_weak(seen, at::get_num_threads())) {
    }
  });
  EXPECT_EQ(most, 1);
  EXPECT_STREQ(std::getenv("OMP_NUM_THREADS"), "1");
}

}  // namespace
}  // namespace gtrain::cli
