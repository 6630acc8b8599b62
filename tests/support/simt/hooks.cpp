// What -fsanitize=thread makes the kernels' loads and stores call, in place of the sanitizer's own.
// Accesses to the thread's own stack are registers or local memory and pass at once.
#include "support/simt/state.h"

namespace gtrain::simt {

namespace {

inline void on_access(const void* p, int bytes, Kind kind, bool aligned, const void* code) {
  if (current_thread == nullptr) {  // the launcher, on the host
    if (device_state != nullptr && region_at(p) != nullptr) {
      RawFinding f;
      f.kind = "out of bounds";
      f.detail = "the host touches device memory";
      f.code = code_of(code);
      find(std::move(f));
    }
    return;
  }
  if (reinterpret_cast<std::uintptr_t>(p) - current_thread->stack < kStackBytes) return;
  access(p, bytes, kind, aligned, code);
}

}  // namespace

}  // namespace gtrain::simt

#define GTRAIN_HOOK(name, bytes, kind, aligned)                          \
  void name(void* p) {                                                   \
    gtrain::simt::on_access(p, bytes, gtrain::simt::Kind::kind, aligned, \
                            __builtin_return_address(0));                \
  }

extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}

GTRAIN_HOOK(__tsan_read1, 1, kLoad, true)
GTRAIN_HOOK(__tsan_read2, 2, kLoad, true)
GTRAIN_HOOK(__tsan_read4, 4, kLoad, true)
GTRAIN_HOOK(__tsan_read8, 8, kLoad, true)
GTRAIN_HOOK(__tsan_read16, 16, kLoad, true)
GTRAIN_HOOK(__tsan_write1, 1, kStore, true)
GTRAIN_HOOK(__tsan_write2, 2, kStore, true)
GTRAIN_HOOK(__tsan_write4, 4, kStore, true)
GTRAIN_HOOK(__tsan_write8, 8, kStore, true)
GTRAIN_HOOK(__tsan_write16, 16, kStore, true)
GTRAIN_HOOK(__tsan_volatile_read1, 1, kLoad, true)
GTRAIN_HOOK(__tsan_volatile_read2, 2, kLoad, true)
GTRAIN_HOOK(__tsan_volatile_read4, 4, kLoad, true)
GTRAIN_HOOK(__tsan_volatile_read8, 8, kLoad, true)
GTRAIN_HOOK(__tsan_volatile_write1, 1, kStore, true)
GTRAIN_HOOK(__tsan_volatile_write2, 2, kStore, true)
GTRAIN_HOOK(__tsan_volatile_write4, 4, kStore, true)
GTRAIN_HOOK(__tsan_volatile_write8, 8, kStore, true)

void __tsan_read_range(void* p, std::size_t bytes) {
  gtrain::simt::on_access(p, static_cast<int>(bytes), gtrain::simt::Kind::kLoad, false,
                          __builtin_return_address(0));
}
void __tsan_write_range(void* p, std::size_t bytes) {
  gtrain::simt::on_access(p, static_cast<int>(bytes), gtrain::simt::Kind::kStore, false,
                          __builtin_return_address(0));
}

}  // extern "C"
