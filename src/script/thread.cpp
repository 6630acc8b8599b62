#include "gtrain/script/thread.h"

#include <ATen/Parallel.h>
#include <tbb/info.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

namespace gtrain::script {
namespace {

int from_environment() {
  const char* text = std::getenv("GTRAIN_THREADS");
  return text == nullptr ? 0 : static_cast<int>(std::strtol(text, nullptr, 10));
}

}  // namespace

int threads() {
  static const int fixed = from_environment();
  static const int most = std::max(1, tbb::info::default_concurrency());
  return std::clamp(fixed > 0 ? fixed : at::get_num_threads(), 1, most);
}

void run(const std::function<void()>& body) {
  thread_local std::unique_ptr<tbb::task_arena> arena;
  const int wanted = threads();
  if (!arena || arena->max_concurrency() != wanted) {
    arena = std::make_unique<tbb::task_arena>(wanted);
  }
  arena->execute(body);
}

}  // namespace gtrain::script
