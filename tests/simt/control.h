// Small kernels with one fault each, and their correct twins: what the emulator must report, and
// what it must not.
#pragma once

namespace gtrain::simt_control {

// Reversal in each block through shared memory, twice. Faults: no barrier before the reads, no
// barrier before the second round overwrites what others read.
enum class Reverse { kCorrect, kReadTooEarly, kWriteTooEarly };
void reverse(Reverse fault, const float* in, float* out, int threads, int blocks);

// A warp hands values to its neighbours through shared memory; without __syncwarp a race.
void rotate_in_warp(bool sync, const float* in, float* out, int warps);
// Half warps synchronised by their own masks; across the halves where `whole` is false: a race.
void rotate_in_halves(bool across, const float* in, float* out);

enum class Sum { kCorrect, kAbsentLane, kOutsideMask, kAfterReturn };
void warp_sum(Sum fault, const float* in, float* out, int count);

enum class Barrier { kCorrect, kHalf, kTwoSites, kAfterReturn };
void barrier(Barrier fault, int* out, int threads);

// Adjacent blocks write `overlap` common elements.
void block_ranges(int overlap, float* out, int blocks, int width);
void copy_with_offset(const float* in, float* out, int count, int from);
void copy_packs(const float* in, float* out, int packs);
void store_to(float* data, int count);
void sum_shared(bool initialise, const float* in, float* out, int threads);

enum class Copy { kCorrect, kNoWait, kNoBarrier, kOneGroupShort, kNeverAwaited };
void async_copy(Copy fault, const float* in, float* out, int threads);
void async_copy_tail(const float* in, float* out, int valid_bytes);

void count_atomically(bool atomic, int* counter, int blocks, int threads);
// Tickets make the order of arrival visible: the sum's bits depend on the schedule.
void sum_in_arrival_order(const float* in, float* slots, float* out, int* ticket, int blocks);
void read_back(float* data, float* out, int count);
void launch_shape(int grid_y, int threads, unsigned long shared_bytes, bool opt_in, float* out);
void loop_for_ever(int* flag);
void wrong_space(bool load, const float* in, float* out);
void touch_on_host(float* data);

// Sums `terms` of an array of four that each thread holds, times `factor`.
void sum_own_array(int terms, int factor, const int* in, int* out);

}  // namespace gtrain::simt_control
