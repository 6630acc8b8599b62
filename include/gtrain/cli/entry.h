// What main() of the program does, for programs that are gtrain with models of their own: arguments
// to run_program (cli/program.h), errors to one line on stderr and an exit code. The only place
// that catches: 0 ok, 2 recipe or flags, 3 data, 4 diverged, 5 out of memory or disk, 6 run
// directory in use, 70 bug, 130/143 interrupted with the state saved.
#pragma once

#include "gtrain/models/zoo.h"

namespace gtrain::cli {

// `zoo`: the models that recipes may name.
int run_main(int argc, char** argv, const models::Zoo& zoo = models::zoo());

}  // namespace gtrain::cli
