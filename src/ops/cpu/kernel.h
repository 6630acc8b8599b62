// Declarations of the kernels of one instruction set (GTRAIN_CPU); cpu/table.cpp collects them.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ops/detail/kernels.h"

namespace gtrain::ops::GTRAIN_CPU {

template <class T>
void add_varlen_forward(detail::VarlenKernels<T>& table);
template <class T>
void add_varlen_backward(detail::VarlenKernels<T>& table);

template <class T>
void add_sparse_kernels(detail::Kernels<T>& table);

template <class S>
void add_message_kernels(detail::MessageKernels<S>& table);
template <class S>
void add_row_kernels(detail::RowKernels<S>& table);
template <class S>
void add_layer_norm_kernels(detail::RowKernels<S>& table);
template <class S>
void add_segment_kernels(detail::SegmentKernels<S>& table);
template <class S>
void add_favor_kernels(detail::FavorKernels<S>& table);

// Leaves the entry null where the BLAS is the better choice.
template <class T>
void add_product_kernel(detail::Kernels<T>& table);
template <>
void add_product_kernel(detail::Kernels<float>& table);
template <>
void add_product_kernel(detail::Kernels<double>& table);

}  // namespace gtrain::ops::GTRAIN_CPU
