// The one redrawn line of a training run on a terminal: epoch, step, loss, graphs/s, time left.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace gtrain::train {

// "1h 03m", "2m 07s", "4.1s".
std::string duration_text(double seconds);

class ProgressLine {
 public:
  ProgressLine(std::string label, std::int64_t epochs);
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  // At most ten times a second reaches the terminal. `left` < 0: not known yet.
  void step(std::int64_t epoch, std::int64_t batch, std::int64_t batches, double loss,
            double graphs_per_second, double left);

 private:
  std::string label_;
  std::int64_t epochs_;
  bool visible_;
  std::chrono::steady_clock::time_point drawn_{};
};

}  // namespace gtrain::train
