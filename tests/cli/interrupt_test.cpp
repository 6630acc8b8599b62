#include "gtrain/cli/interrupt.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>

namespace gtrain::cli {
namespace {

// In a child of its own (EXPECT_EXIT), so that the handlers do not stay in the test program.
void raise_and_exit_with_the_number(int number) {
  const std::atomic<int>* received = catch_interrupts();
  if (*received != 0) ::_exit(1);
  std::raise(number);
  ::_exit(*received);
}

void raise_twice(int number) {
  catch_interrupts();
  std::raise(number);
  std::raise(number);
  ::_exit(0);
}

TEST(Interrupt, FirstSignalIsANumberToPoll) {
  EXPECT_EXIT(raise_and_exit_with_the_number(SIGINT), testing::ExitedWithCode(SIGINT), "saving");
  EXPECT_EXIT(raise_and_exit_with_the_number(SIGTERM), testing::ExitedWithCode(SIGTERM), "saving");
}

TEST(Interrupt, SecondSignalEndsTheProcessAtOnce) {
  EXPECT_EXIT(raise_twice(SIGINT), testing::ExitedWithCode(130), "");
  EXPECT_EXIT(raise_twice(SIGTERM), testing::ExitedWithCode(143), "");
}

TEST(Interrupt, BrokenPipesAndFullQuotasAreNoSignal) {
  EXPECT_EXIT(
      {
        fail_by_error_codes();
        std::raise(SIGPIPE);
        std::raise(SIGXFSZ);
        ::_exit(0);
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace gtrain::cli
