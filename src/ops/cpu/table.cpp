// The kernel table of one instruction set.
#include <type_traits>

#include "ops/cpu/kernel.h"

namespace gtrain::ops::GTRAIN_CPU {

template <class T>
detail::Kernels<T> make_table() {
  detail::Kernels<T> table{};
  add_sparse_kernels(table);
  add_message_kernels(table.message);
  add_row_kernels(table.row);
  add_layer_norm_kernels(table.row);
  add_segment_kernels(table.segment);
  add_favor_kernels(table.favor);
  if constexpr (std::is_floating_point_v<T>) {
    add_varlen_forward(table.varlen);
    add_varlen_backward(table.varlen);
    add_product_kernel(table);
  }
  return table;
}

template detail::Kernels<float> make_table<float>();
template detail::Kernels<double> make_table<double>();
template detail::Kernels<detail::Bf16> make_table<detail::Bf16>();
template detail::Kernels<detail::Half> make_table<detail::Half>();

}  // namespace gtrain::ops::GTRAIN_CPU
