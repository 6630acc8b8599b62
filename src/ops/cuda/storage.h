// The element type of the tensors given to a launcher as untyped pointers. Sums and statistics are
// float, or double where the tensors are.
#pragma once

namespace gtrain::ops::cuda {

enum class Storage { kFloat, kDouble, kBFloat16, kHalf };

}  // namespace gtrain::ops::cuda
