#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "gtrain/cli/command.h"
#include "gtrain/cli/thread_pool.h"
#include "gtrain/train/prune_run.h"
#include "not_empty.h"

namespace gtrain::cli {

void add_prune_command(CLI::App& program, const Session& session) {
  struct Arguments {
    std::string run, out;
    int threads = 0;
  };
  CLI::App* command =
      program.add_subcommand("prune", "cut what a sparsified run switched off out of its model");
  auto a = std::make_shared<Arguments>();
  command->add_option("RUN", a->run, "run directory")->required();
  command->add_option("--out", a->out, "run directory to write")
      ->required()
      ->check(not_empty())
      ->type_name("RUN2");
  command->add_option("--threads", a->threads, "threads to use (default: all processors)")
      ->check(CLI::Range(1, 4096))
      ->type_name("N");
  command->callback([a, &session] {
    const ThreadPool pool(a->threads);
    train::prune_run(a->run, a->out, session.zoo);
  });
}

}  // namespace gtrain::cli
