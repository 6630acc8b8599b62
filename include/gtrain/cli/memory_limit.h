// A limit on the memory the process may ask for: what the machine has. Linux grants more than there
// is and kills a process, this one or another, when the pages are touched; under the limit the
// request itself fails, which ends the program with a message and exit code 5.
#pragma once

#include <cstdint>

namespace gtrain::cli {

// Bytes of RAM and swap, less where a control group allows less.
std::uint64_t memory_of_machine();

// Lowers RLIMIT_DATA (private writable memory) to `bytes` where it is higher. Without effect in
// sanitizer builds, whose shadow memory alone is larger than any machine.
void limit_memory(std::uint64_t bytes);

}  // namespace gtrain::cli
