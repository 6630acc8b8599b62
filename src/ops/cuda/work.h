// What the sparse launchers share: the rows a kernel walks over, as the work list of
// detail/work_list.h copied to the device.
#pragma once

#include <cstdint>

#include "ops/cuda/element.h"
#include "ops/detail/work_list.h"

namespace gtrain::ops::cuda {

// Rows of a CSR, `start` int64 [rows+1]. Items null: one item for each row and none cut; then
// `partial` is not used, and a hub is as slow as it is long.
struct Work {
  const std::int64_t* start = nullptr;
  std::int64_t rows = 0;
  const ops::detail::WorkItem* items = nullptr;
  std::int64_t item_count = 0;
  const ops::detail::CutRow* cuts = nullptr;
  std::int64_t cut_count = 0;
  std::int64_t parts = 0;   // over all cut rows
  void* partial = nullptr;  // workspace, 16-byte aligned; each launcher states its size

  GTRAIN_DEVICE_INLINE std::int64_t tasks() const { return items != nullptr ? item_count : rows; }
};

}  // namespace gtrain::ops::cuda
