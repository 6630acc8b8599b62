// Labels in the form a task needs: class tasks I64 [R] with -1 for missing; binary and multilabel
// F32 [R, T] of 0, 1 or NaN; regression F32 [R, T] with NaN for missing.
#pragma once

#include <cstdint>
#include <string>

#include "gtrain/data/column.h"
#include "gtrain/data/dataset.h"

namespace gtrain::data {

// `classes`: the number a card states, or 0 to take the largest label + 1; set on return for class
// tasks, 0 for others. Throws base::DataError `where (row R): …` for what the task does not allow.
Column labels_for(Task task, const Column& labels, const std::string& where, std::int64_t& classes);

}  // namespace gtrain::data
