// SIGINT and SIGTERM as a number that training polls between steps. A second signal ends the
// process at once with 128 + its number; what is on disk is complete at any moment.
#pragma once

#include <atomic>

namespace gtrain::cli {

// Installs the handlers; the number is 0 until a signal arrives. Lives as long as the process.
const std::atomic<int>* catch_interrupts();

// A closed pipe, and a file as large as the system lets it be (ulimit -f), become errors of write()
// instead of signals.
void fail_by_error_codes();

}  // namespace gtrain::cli
