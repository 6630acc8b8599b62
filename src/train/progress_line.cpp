#include "progress_line.h"

#include <fmt/format.h>

#include <algorithm>

#include "gtrain/base/log.h"

namespace gtrain::train {
namespace {

constexpr std::chrono::milliseconds kInterval{100};
constexpr std::int64_t kWidth = 24;

std::string bar(std::int64_t done, std::int64_t of) {
  const auto filled = static_cast<std::size_t>(kWidth * done / std::max<std::int64_t>(1, of));
  return std::string(filled, '#') + std::string(kWidth - filled, '.');
}

}  // namespace

std::string duration_text(double seconds) {
  const auto s = static_cast<std::int64_t>(seconds);
  if (s >= 3600) return fmt::format("{}h {:02}m", s / 3600, s % 3600 / 60);
  if (s >= 60) return fmt::format("{}m {:02}s", s / 60, s % 60);
  return fmt::format("{:.1f}s", seconds);
}

ProgressLine::ProgressLine(std::string label, std::int64_t epochs)
    : label_(std::move(label)), epochs_(epochs), visible_(base::terminal()) {}

ProgressLine::~ProgressLine() {
  if (visible_) base::redraw("");
}

void ProgressLine::step(std::int64_t epoch, std::int64_t batch, std::int64_t batches, double loss,
                        double graphs_per_second, double left) {
  if (!visible_) return;
  const auto now = std::chrono::steady_clock::now();
  if (now - drawn_ < kInterval) return;
  drawn_ = now;
  base::redraw(fmt::format("{}epoch {}/{} [{}] {}/{}  loss {:.4g}  {:.0f} graphs/s  {}", label_,
                           epoch, epochs_, bar(batch, batches), batch, batches, loss,
                           graphs_per_second, left < 0 ? "" : duration_text(left) + " left"));
}

}  // namespace gtrain::train
