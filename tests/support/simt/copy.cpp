// Explicit memory operations: 16-byte accesses, the read-only path, atomics, cp.async.
#include <algorithm>
#include <cstring>

#include "ops/cuda/device.cuh"
#include "support/simt/state.h"

namespace gtrain::simt {

namespace {

template <class T>
T atomic(T* p, T value, bool maximum, const void* code) {
  access(p, sizeof(T), Kind::kAtomic, true, code);
  const T before = *p;
  *p = maximum ? std::max(before, value) : static_cast<T>(before + value);
  return before;
}

void set_pending(Region* region, const char* p, bool pending) {
  const std::size_t first = static_cast<std::size_t>(p - region->begin) >> region->shift;
  for (std::size_t i = first; i < first + (16u >> region->shift); ++i) {
    region->state[i] = pending ? kPendingCopy : 0;
  }
}

void finish_copy(Thread* t, AsyncCopy& copy) {
  if (!copy.fetched && copy.bytes > 0) {
    std::memcpy(copy.data, copy.source, static_cast<std::size_t>(copy.bytes));
  }
  std::memcpy(copy.target, copy.data, 16);
  set_pending(t->block->shared, copy.target, false);
  check_access(t, copy.target, 16, Kind::kStore, true, copy.code);
}

}  // namespace

int atomic_add(int* p, int value) { return atomic(p, value, false, __builtin_return_address(0)); }
unsigned atomic_add(unsigned* p, unsigned value) {
  return atomic(p, value, false, __builtin_return_address(0));
}
unsigned long long atomic_add(unsigned long long* p, unsigned long long value) {
  return atomic(p, value, false, __builtin_return_address(0));
}
int atomic_max(int* p, int value) { return atomic(p, value, true, __builtin_return_address(0)); }
unsigned atomic_max(unsigned* p, unsigned value) {
  return atomic(p, value, true, __builtin_return_address(0));
}
unsigned long long atomic_max(unsigned long long* p, unsigned long long value) {
  return atomic(p, value, true, __builtin_return_address(0));
}

void load_read_only(void* out, const void* p, int bytes) {
  expect_space(p, false, "a read-only load", __builtin_return_address(0));
  access(p, bytes, Kind::kReadOnlyLoad, true, __builtin_return_address(0));
  std::memcpy(out, p, static_cast<std::size_t>(bytes));
}

void load_global_16(void* out, const void* p) {
  expect_space(p, false, "load_pack", __builtin_return_address(0));
  access(p, 16, Kind::kReadOnlyLoad, true, __builtin_return_address(0));
  std::memcpy(out, p, 16);
}

void store_global_16(void* p, const void* in) {
  expect_space(p, false, "store_pack", __builtin_return_address(0));
  access(p, 16, Kind::kStore, true, __builtin_return_address(0));
  std::memcpy(p, in, 16);
}

void load_shared_16(void* out, const void* p) {
  expect_space(p, true, "load_shared_pack", __builtin_return_address(0));
  access(p, 16, Kind::kLoad, true, __builtin_return_address(0));
  std::memcpy(out, p, 16);
}

void store_shared_16(void* p, const void* in) {
  expect_space(p, true, "store_shared_pack", __builtin_return_address(0));
  access(p, 16, Kind::kStore, true, __builtin_return_address(0));
  std::memcpy(p, in, 16);
}

// The data arrive at some moment until the wait: the source is read now or then, the target reads
// as poison, and touching it is a finding.
void copy_async(void* shared, const void* global, int source_bytes) {
  const void* code = __builtin_return_address(0);
  Thread* t = current_thread;
  expect_space(shared, true, "cp.async", code);
  expect_space(global, false, "cp.async", code);
  if (source_bytes < 0 || source_bytes > 16) {
    find(finding_of(t, "cp.async", std::to_string(source_bytes) + " source bytes", code_of(code)));
    abort_launch();
  }
  if ((reinterpret_cast<std::uintptr_t>(global) & 15) != 0) {
    find(finding_of(t, "misaligned", "the source of cp.async", code_of(code)));
    abort_launch();
  }
  if (source_bytes > 0) access(global, source_bytes, Kind::kLoad, false, code);
  access(shared, 16, Kind::kStore, true, code);
  AsyncCopy copy{static_cast<char*>(shared),
                 static_cast<const char*>(global),
                 source_bytes,
                 t->groups,
                 code_of(code),
                 device_state->random.below(2) == 0,
                 {}};
  if (copy.fetched && source_bytes > 0) {
    std::memcpy(copy.data, global, static_cast<std::size_t>(source_bytes));
  }
  std::memset(shared, 0xff, 16);
  set_pending(t->block->shared, copy.target, true);
  t->copies.push_back(copy);
}

void copy_commit() { ++current_thread->groups; }

void copy_wait(int newest) {
  step();
  Thread* t = current_thread;
  const int done = t->groups - newest;  // groups are numbered from 0; these many are complete
  auto& copies = t->copies;
  auto keep = std::stable_partition(copies.begin(), copies.end(),
                                    [done](const AsyncCopy& c) { return c.group >= done; });
  for (auto c = keep; c != copies.end(); ++c) finish_copy(t, *c);
  copies.erase(keep, copies.end());
}

void expect_no_copies(Thread* t) {
  if (t->copies.empty()) return;
  find(finding_of(t, "cp.async", "the thread returned without waiting for its copies",
                  t->copies.front().code));
}

}  // namespace gtrain::simt
