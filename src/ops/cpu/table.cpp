// The kernel table of one instruction set.
#include "ops/cpu/kernel.h"

namespace gtrain::ops::GTRAIN_CPU {

template <class T>
detail::Kernels<T> make_table() {
  detail::Kernels<T> table{};
  table.attention_forward = attention_forward<T>;
  table.attention_backward = attention_backward<T>;
  add_message_kernels(table);
  add_row_kernels(table);
  add_product_kernel(table);
  return table;
}

template detail::Kernels<float> make_table<float>();
template detail::Kernels<double> make_table<double>();

}  // namespace gtrain::ops::GTRAIN_CPU
