#include "gtrain/cli/entry.h"

int main(int argc, char** argv) { return gtrain::cli::run_main(argc, argv); }
