// Holds ATen to one thread, here and in every TBB worker, while it lives: TBB drives all
// parallelism; ATen's own would fight it for the cores and change sums. ATen's thread count belongs
// to the thread, so each worker sets its own on entry.
#pragma once

#include <ATen/Parallel.h>
#include <tbb/task_scheduler_observer.h>

namespace gtrain::train {

class SerialAten final : public tbb::task_scheduler_observer {
 public:
  SerialAten() {
    at::set_num_threads(1);
    observe(true);
  }
  ~SerialAten() override { observe(false); }
  SerialAten(const SerialAten&) = delete;
  SerialAten& operator=(const SerialAten&) = delete;
  void on_scheduler_entry(bool) override { at::set_num_threads(1); }
};

}  // namespace gtrain::train
