#include "gtrain/cli/memory_limit.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cstdlib>
#include <memory>

namespace gtrain::cli {
namespace {

TEST(MemoryLimit, MachineHasMemory) {
  EXPECT_GT(memory_of_machine(), std::uint64_t{1} << 26);
  EXPECT_LT(memory_of_machine(), std::uint64_t{1} << 50);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

TEST(MemoryLimit, MoreThanTheMachineHasIsRefusedWhenItIsAskedFor) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_DATA, &before), 0);
  const std::uint64_t most = memory_of_machine();
  limit_memory(most);
  const std::unique_ptr<void, decltype(&std::free)> block(std::malloc(most), &std::free);
  EXPECT_EQ(block, nullptr);
  ::setrlimit(RLIMIT_DATA, &before);
}

TEST(MemoryLimit, LowerLimitOfTheUserStays) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_DATA, &before), 0);
  rlimit low = before;
  low.rlim_cur = std::uint64_t{1} << 40;
  ASSERT_EQ(::setrlimit(RLIMIT_DATA, &low), 0);
  limit_memory(std::uint64_t{1} << 41);
  rlimit after{};
  ::getrlimit(RLIMIT_DATA, &after);
  EXPECT_EQ(after.rlim_cur, low.rlim_cur);
  ::setrlimit(RLIMIT_DATA, &before);
}

#endif

}  // namespace
}  // namespace gtrain::cli
