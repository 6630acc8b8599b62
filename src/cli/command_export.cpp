#include <unistd.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "gtrain/cli/command.h"
#include "gtrain/cli/thread_pool.h"
#include "gtrain/deploy/reload.h"
#include "gtrain/train/export_run.h"
#include "not_empty.h"

namespace gtrain::cli {

void add_export_command(CLI::App& program, const Session& session) {
  struct Arguments {
    std::string run, out;
    train::ExportRunOptions options;
    int threads = 0;
  };
  CLI::App* command =
      program.add_subcommand("export", "a trained model as a file for use without gtrain");
  auto a = std::make_shared<Arguments>();
  command->add_option("RUN", a->run, "run directory")->required();
  command->add_option("--out", a->out, "file to write")
      ->required()
      ->check(not_empty())
      ->type_name("F.pt");
  command->add_option("--format", a->options.format, "torchscript or safetensors (weights alone)")
      ->check(CLI::IsMember({"torchscript", "safetensors"}))
      ->type_name("FORMAT");
  command
      ->add_option("--encodings", a->options.encodings,
                   "inside: computed from edge_index; input: further arguments of forward")
      ->check(CLI::IsMember({"inside", "input"}))
      ->type_name("WHERE");
  command
      ->add_option("--dtype", a->options.dtype, "float32 (default) or bf16: weights and arithmetic")
      ->check(CLI::IsMember({"float32", "bf16"}))
      ->type_name("TYPE");
  command->add_flag("--freeze", a->options.freeze,
                    "weights as constants, batch norm folded into linear maps");
  command->add_flag("--fused", a->options.fused, "use the operators of libgtrain_ops");
  command->add_option("--threads", a->threads, "threads to use (default: all processors)")
      ->check(CLI::Range(1, 4096))
      ->type_name("N");
  command->callback([a, &session] {
    const ThreadPool pool(a->threads);
    if (!session.program.empty()) {
      a->options.fresh = {session.program, kReloadWord, std::to_string(pool.threads())};
    }
    train::export_run(a->run, a->out, a->options, session.zoo);
  });
}

bool is_reload(const std::vector<std::string>& arguments) {
  return arguments.size() == 2 && arguments[0] == kReloadWord;
}

void reload(const std::vector<std::string>& arguments) {
  const ThreadPool pool(std::stoi(arguments[1]));
  deploy::serve_reload(STDIN_FILENO);
}

}  // namespace gtrain::cli
