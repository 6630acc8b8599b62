// The one thread pool: oneTBB with a bounded number of threads, and ATen, OpenMP and MKL held to
// one thread in each of them, so that no library starts a pool of its own.
#pragma once

#include <memory>

namespace gtrain::cli {

// Processors this process may run on.
int available_threads();

// In force while it lives; made before any worker touches ATen. `threads` 0: all available.
class ThreadPool {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }

 private:
  struct Limits;
  int threads_;
  std::unique_ptr<Limits> limits_;
};

}  // namespace gtrain::cli
