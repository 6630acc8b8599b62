#include "gtrain/cli/entry.h"

// What src/cli/launcher.cpp calls in libgtrain_program.so.
extern "C" int gtrain_main(int argc, char** argv) { return gtrain::cli::run_main(argc, argv); }
