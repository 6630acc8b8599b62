#include "gtrain/script/thread.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <tbb/info.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <atomic>
#include <thread>

namespace gtrain::script {
namespace {

class TorchThreads {
 public:
  explicit TorchThreads(int count) : before_(at::get_num_threads()) { at::set_num_threads(count); }
  ~TorchThreads() { at::set_num_threads(before_); }

 private:
  int before_;
};

TEST(ScriptThread, AreAsManyAsTorchHasAndThereAreProcessorsFor) {
  for (const int asked : {1, 2, 4096}) {
    const int count = std::min(asked, tbb::info::default_concurrency());
    const TorchThreads guard(asked);
    EXPECT_EQ(threads(), count);
    int seen = 0;
    run([&] { seen = tbb::this_task_arena::max_concurrency(); });
    EXPECT_EQ(seen, count);
  }
}

TEST(ScriptThread, CallersDoNotWaitForEachOther) {
  const TorchThreads guard(1);
  std::atomic<int> inside{0};
  const auto meet = [&] {
    at::set_num_threads(1);
    run([&] {
      ++inside;
      while (inside < 2) std::this_thread::yield();  // for ever, if one had to wait outside
    });
  };
  std::thread other(meet);
  meet();
  other.join();
  EXPECT_EQ(inside, 2);
}

}  // namespace
}  // namespace gtrain::script
