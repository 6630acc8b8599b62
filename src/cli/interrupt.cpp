#include "gtrain/cli/interrupt.h"

#include <unistd.h>

#include <csignal>
#include <string_view>

namespace gtrain::cli {

namespace {

std::atomic<int> received{0};
static_assert(std::atomic<int>::is_always_lock_free);  // the handler may touch it

void on_signal(int number) {
  if (received.exchange(number) != 0) ::_exit(128 + number);
  constexpr std::string_view kLine =
      "\ninterrupted: saving the state after this step; once more to quit now\n";
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, kLine.data(), kLine.size());
}

}  // namespace

const std::atomic<int>* catch_interrupts() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  return &received;
}

void fail_by_error_codes() {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
}

}  // namespace gtrain::cli
