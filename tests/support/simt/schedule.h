// Runs a kernel test under many schedules of the emulator.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>

#include "support/simt/device.h"

namespace gtrain::simt {

// GTRAIN_SIMT_SCHEDULES in the environment overrides `count`.
inline int schedule_count(int count) {
  const char* wanted = std::getenv("GTRAIN_SIMT_SCHEDULES");
  return wanted != nullptr && std::atoi(wanted) > 0 ? std::atoi(wanted) : count;
}

// body(device) for `count` schedules; stops at the first that fails an expectation or has findings.
template <class Body>
void for_each_schedule(int count, Body body, DeviceOptions options = {}) {
  count = schedule_count(count);
  for (int seed = 0; seed < count; ++seed) {
    Device device(static_cast<std::uint64_t>(seed), options);
    body(device);
    if (!device.findings().empty()) ADD_FAILURE() << device.report();
    if (testing::Test::HasFailure()) {
      ADD_FAILURE() << "under schedule " << seed;
      return;
    }
  }
}

}  // namespace gtrain::simt
