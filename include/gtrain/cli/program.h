// The program: arguments in, one command run, an exit code out. `gtrain --recipe FILE …` is
// `gtrain train FILE …`. Errors leave as exceptions: base::Error with its exit code,
// CLI::ParseError for flags (2); only cli/entry.h turns them into messages.
#pragma once

#include <string>
#include <vector>

#include "gtrain/models/zoo.h"

namespace gtrain::cli {

// `arguments`: argv without the program's name. Results go to stdout, notes to stderr. `zoo`: the
// models that recipes may name. `file`: the program's own, which `export` starts again to load what
// it wrote in a fresh process; empty: it loads it in this one.
int run_program(std::vector<std::string> arguments, const std::string& version,
                const models::Zoo& zoo = models::zoo(), const std::string& file = {});

}  // namespace gtrain::cli
