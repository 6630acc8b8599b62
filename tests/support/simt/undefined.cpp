// What the undefined-behaviour checks of the kernels' object call: an index beyond a thread's own
// array, an overflow of a signed integer (offsets!), a shift beyond the width, a division by zero.
// Each becomes a finding at its source line.
#include <cstdio>
#include <cstdlib>

#include "support/simt/state.h"

namespace {

// The start of the data that the compiler passes to every handler.
struct SourceLocation {
  const char* file;
  std::uint32_t line, column;
};

void undefined(const char* what, void* data, bool fatal = false) {
  const auto& at = *static_cast<const SourceLocation*>(data);
  const gtrain::simt::Site site{at.file, static_cast<int>(at.line)};
  if (gtrain::simt::current_thread == nullptr) {
    std::fprintf(stderr, "%s:%u: %s\n", at.file, at.line, what);
    std::abort();
  }
  gtrain::simt::find(
      gtrain::simt::finding_of(gtrain::simt::current_thread, "undefined", what, site));
  if (fatal) gtrain::simt::abort_launch();
}

}  // namespace

extern "C" {

void __ubsan_handle_out_of_bounds(void* data, void*) {
  undefined("an index beyond an array of the thread", data, true);
}
void __ubsan_handle_shift_out_of_bounds(void* data, void*, void*) {
  undefined("a shift beyond the width", data);
}
void __ubsan_handle_add_overflow(void* data, void*, void*) {
  undefined("a signed sum overflows", data);
}
void __ubsan_handle_sub_overflow(void* data, void*, void*) {
  undefined("a signed difference overflows", data);
}
void __ubsan_handle_mul_overflow(void* data, void*, void*) {
  undefined("a signed product overflows", data);
}
void __ubsan_handle_negate_overflow(void* data, void*) {
  undefined("a signed negation overflows", data);
}
void __ubsan_handle_divrem_overflow(void* data, void*, void*) {
  undefined("a division by zero", data);
}

}  // extern "C"
