#include "ops/cuda/device.cuh"
#include "simt/control.h"

namespace gtrain::simt_control {

using namespace ops::cuda;

namespace {

__global__ void reverse_kernel(Reverse fault, const float* in, float* out, int n) {
  float* shared = dynamic_shared<float>();
  const int t = threadIdx.x;
  in += blockIdx.x * n;
  out += blockIdx.x * n;
  shared[t] = in[t];
  if (fault != Reverse::kReadTooEarly) __syncthreads();
  const float once = shared[n - 1 - t];
  if (fault != Reverse::kWriteTooEarly) __syncthreads();
  shared[t] = once + 1;
  __syncthreads();
  out[t] = shared[n - 1 - t];
}

__global__ void rotate_kernel(bool sync, const float* in, float* out) {
  float* shared = dynamic_shared<float>();
  const int t = threadIdx.x, lane = t % 32;
  shared[t] = in[t];
  if (sync) __syncwarp();
  out[t] = shared[t - lane + (lane + 1) % 32];
}

__global__ void halves_kernel(bool across, const float* in, float* out) {
  float* shared = dynamic_shared<float>();
  const int t = threadIdx.x, half = t / 16;
  shared[t] = in[t];
  __syncwarp(half == 0 ? 0xffffu : 0xffff0000u);
  out[t] = shared[across ? 31 - t : half * 16 + (t + 1) % 16];
}

__global__ void sum_kernel(Sum fault, const float* in, float* out, int count) {
  const int t = threadIdx.x;
  if (fault == Sum::kAfterReturn && t >= count) return;
  float x = t < count ? in[t] : 0;
  if (fault == Sum::kAbsentLane) {
    if (t < 16) x += __shfl_sync(0xffffu, x, t + 16);
  } else if (fault == Sum::kOutsideMask) {
    x += __shfl_xor_sync(0xffffu, x, 1);
  } else {
    for (int offset = 16; offset > 0; offset /= 2) x += __shfl_xor_sync(~0u, x, offset);
  }
  if (t == 0) out[0] = x;
}

__global__ void barrier_kernel(Barrier fault, int* out) {
  const int t = threadIdx.x;
  if (fault == Barrier::kAfterReturn && t == 3) return;
  if (fault == Barrier::kTwoSites && t % 2 == 0) {
    __syncthreads();
  } else if (fault != Barrier::kHalf || t < 32) {
    __syncthreads();
  }
  out[t] = t;
}

__global__ void ranges_kernel(int overlap, float* out, int width) {
  for (int i = threadIdx.x; i < width + overlap; i += blockDim.x) {
    out[blockIdx.x * width + i] = 1;
  }
}

__global__ void offset_kernel(const float* in, float* out, int count, int from) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) out[i] = in[i + from];
}

__global__ void pack_kernel(const float* in, float* out, int packs) {
  const int i = threadIdx.x;
  if (i < packs) store_pack(out + 4 * i, load_pack(in + 4 * i));
}

__global__ void store_kernel(float* data, int count) {
  if (static_cast<int>(threadIdx.x) < count) data[threadIdx.x] = 3;
}

__global__ void shared_sum_kernel(bool initialise, const float* in, float* out) {
  float* shared = dynamic_shared<float>();
  const int t = threadIdx.x;
  if (t % 2 == 0 || initialise) shared[t] = in[t];
  __syncthreads();
  out[t] = shared[t] + shared[t ^ 1];
}

__global__ void async_kernel(Copy fault, const float* in, float* out, int n) {
  float* shared = dynamic_shared<float>();
  const int t = threadIdx.x;
  cp_async_16(shared + 4 * t, in + 4 * t, 16);
  cp_async_commit();
  cp_async_16(shared + 4 * (n + t), in + 4 * (n + t), 16);
  cp_async_commit();
  cp_async_wait<1>();
  if (fault != Copy::kNoBarrier) __syncthreads();
  if (fault != Copy::kNeverAwaited) out[t] = shared[4 * (n - 1 - t)];
  if (fault == Copy::kNoWait) out[n + t] = shared[4 * (n + t)];
  if (fault == Copy::kNeverAwaited) return;
  if (fault == Copy::kOneGroupShort) {
    cp_async_wait<1>();
  } else {
    cp_async_wait<0>();
  }
  __syncthreads();
  out[n + t] = shared[4 * (2 * n - 1 - t)];
}

__global__ void tail_kernel(const float* in, float* out, int valid_bytes) {
  float* shared = dynamic_shared<float>();
  const int t = threadIdx.x, left = valid_bytes - 16 * t;
  const int bytes = left < 0 ? 0 : left < 16 ? left : 16;
  cp_async_16(shared + 4 * t, bytes > 0 ? in + 4 * t : in, bytes);
  cp_async_commit();
  cp_async_wait<0>();
  __syncthreads();
  store_pack(out + 4 * t, load_shared_pack(shared + 4 * t));
}

__global__ void count_kernel(bool atomic, int* counter) {
  if (atomic) {
    atomicAdd(counter, 1);
  } else {
    *counter += 1;
  }
}

__global__ void ticket_kernel(const float* in, float* slots, int* ticket) {
  slots[atomicAdd(ticket, 1)] = in[blockIdx.x];
}

__global__ void slot_sum_kernel(const float* slots, float* out, int count) {
  float sum = 0;
  for (int i = 0; i < count; ++i) sum += slots[i];
  out[0] = sum;
}

__global__ void read_back_kernel(float* data, float* out, int count) {
  const int t = threadIdx.x;
  if (t >= count) return;
  data[t] = 1;
  out[t] = __ldg(data + t);
}

__global__ void one_kernel(float* out) {
  if (threadIdx.x == 0 && blockIdx.y == 0) out[0] = 1;
}

__global__ void forever_kernel(int* flag) {
  while (atomicAdd(flag, 0) == 0) {
  }
}

__global__ void space_kernel(bool load, const float* in, float* out) {
  float* shared = dynamic_shared<float>();
  if (load) {
    store_pack(out, load_shared_pack(in));
  } else {
    store_pack(shared, load_pack(in));
  }
}

__global__ void own_array_kernel(int terms, int factor, const int* in, int* out) {
  int own[4];
  for (int i = 0; i < 4; ++i) own[i] = in[i];
  int sum = 0;
  for (int i = 0; i < terms; ++i) sum += own[i];
  out[threadIdx.x] = sum * factor;
}

std::size_t floats(int count) { return static_cast<std::size_t>(count) * sizeof(float); }

}  // namespace

void reverse(Reverse fault, const float* in, float* out, int threads, int blocks) {
  launch(reverse_kernel, dim3(blocks), dim3(threads), floats(threads), nullptr, fault, in, out,
         threads);
}
void rotate_in_warp(bool sync, const float* in, float* out, int warps) {
  launch(rotate_kernel, dim3(1), dim3(32 * warps), floats(32 * warps), nullptr, sync, in, out);
}
void rotate_in_halves(bool across, const float* in, float* out) {
  launch(halves_kernel, dim3(1), dim3(32), floats(32), nullptr, across, in, out);
}
void warp_sum(Sum fault, const float* in, float* out, int count) {
  launch(sum_kernel, dim3(1), dim3(32), 0, nullptr, fault, in, out, count);
}
void barrier(Barrier fault, int* out, int threads) {
  launch(barrier_kernel, dim3(1), dim3(threads), 0, nullptr, fault, out);
}
void block_ranges(int overlap, float* out, int blocks, int width) {
  launch(ranges_kernel, dim3(blocks), dim3(32), 0, nullptr, overlap, out, width);
}
void copy_with_offset(const float* in, float* out, int count, int from) {
  launch(offset_kernel, dim3((count + 63) / 64), dim3(64), 0, nullptr, in, out, count, from);
}
void copy_packs(const float* in, float* out, int packs) {
  launch(pack_kernel, dim3(1), dim3(32), 0, nullptr, in, out, packs);
}
void store_to(float* data, int count) {
  launch(store_kernel, dim3(1), dim3(32), 0, nullptr, data, count);
}
void sum_shared(bool initialise, const float* in, float* out, int threads) {
  launch(shared_sum_kernel, dim3(1), dim3(threads), floats(threads), nullptr, initialise, in, out);
}
void async_copy(Copy fault, const float* in, float* out, int threads) {
  launch(async_kernel, dim3(1), dim3(threads), floats(8 * threads), nullptr, fault, in, out,
         threads);
}
void async_copy_tail(const float* in, float* out, int valid_bytes) {
  launch(tail_kernel, dim3(1), dim3(32), floats(128), nullptr, in, out, valid_bytes);
}
void count_atomically(bool atomic, int* counter, int blocks, int threads) {
  launch(count_kernel, dim3(blocks), dim3(threads), 0, nullptr, atomic, counter);
}
void sum_in_arrival_order(const float* in, float* slots, float* out, int* ticket, int blocks) {
  launch(ticket_kernel, dim3(blocks), dim3(1), 0, nullptr, in, slots, ticket);
  launch(slot_sum_kernel, dim3(1), dim3(1), 0, nullptr, slots, out, blocks);
}
void read_back(float* data, float* out, int count) {
  launch(read_back_kernel, dim3(1), dim3(32), 0, nullptr, data, out, count);
}
void launch_shape(int grid_y, int threads, unsigned long shared_bytes, bool opt_in, float* out) {
  if (opt_in) {
    launch(one_kernel, dim3(1, grid_y), dim3(threads), shared_bytes, nullptr, out);
    return;
  }
  simt::launch(
      {dim3(1, grid_y), dim3(threads), shared_bytes, 48 * 1024},
      [](const void* p) { one_kernel(*static_cast<float* const*>(p)); }, &out, sizeof(out),
      reinterpret_cast<const void*>(&one_kernel));
}
void loop_for_ever(int* flag) { launch(forever_kernel, dim3(1), dim3(32), 0, nullptr, flag); }
void wrong_space(bool load, const float* in, float* out) {
  launch(space_kernel, dim3(1), dim3(1), 64, nullptr, load, in, out);
}
void touch_on_host(float* data) { data[0] = 1; }
void sum_own_array(int terms, int factor, const int* in, int* out) {
  launch(own_array_kernel, dim3(1), dim3(32), 0, nullptr, terms, factor, in, out);
}

}  // namespace gtrain::simt_control
