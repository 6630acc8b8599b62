#include "gtrain/cli/program.h"

#include <poll.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <string_view>

#include "gtrain/base/error.h"
#include "gtrain/cli/command.h"
#include "gtrain/train/recipe_suggestion.h"

namespace gtrain::cli {

namespace {

// `--recipe FILE rest` and `--recipe=FILE rest` -> `train FILE rest`.
void spell_out_train(std::vector<std::string>& arguments) {
  if (arguments.empty() || arguments[0].empty() || arguments[0][0] != '-') return;
  constexpr std::string_view kFlag = "--recipe";
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::string file;
    std::size_t taken = 0;
    if (arguments[i] == kFlag && i + 1 < arguments.size()) {
      file = arguments[i + 1];
      taken = 2;
    } else if (arguments[i].rfind(std::string(kFlag) + "=", 0) == 0) {
      file = arguments[i].substr(kFlag.size() + 1);
      taken = 1;
    } else {
      continue;
    }
    const auto at = arguments.begin() + static_cast<std::ptrdiff_t>(i);
    arguments.erase(at, at + static_cast<std::ptrdiff_t>(taken));
    arguments.insert(arguments.begin(), {"train", file});
    return;
  }
}

std::vector<const CLI::App*> commands_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

// The command that `words` lead to; throws where a word names none. Words after a command without
// further commands are its arguments.
const CLI::App& find_command(const CLI::App& program, const std::vector<std::string>& words) {
  const CLI::App* at = &program;
  for (const std::string& word : words) {
    const std::vector<const CLI::App*> commands = commands_of(*at);
    if (commands.empty() || word.empty() || word[0] == '-') break;
    std::vector<std::string_view> names;
    const CLI::App* next = nullptr;
    for (const CLI::App* command : commands) {
      names.push_back(command->get_name());
      if (command->get_name() == word) next = command;
    }
    if (next == nullptr) {
      throw base::RecipeError("unknown command " + word + train::did_you_mean(word, names) +
                              "; commands: " + train::joined(names));
    }
    at = next;
  }
  return *at;
}

void print_help(const CLI::App& program, const std::vector<std::string>& words) {
  const CLI::App& command = find_command(program, words);
  std::string path;  // of the commands above it
  for (const CLI::App* at = command.get_parent(); at != nullptr; at = at->get_parent()) {
    path.insert(0, at->get_name() + (path.empty() ? "" : " "));
  }
  std::cout << command.help(path);
}

void build(CLI::App& program, Session& session) {
  program.set_help_flag();
  program.require_subcommand(1);
  program.get_formatter()->column_width(34);
  add_run_commands(program, session);
  add_table_command(program, session);
  add_export_command(program, session);
  add_prune_command(program, session);
  add_recipe_commands(program, session);
  add_list_command(program, session);
  add_data_commands(program);
  add_doctor_command(program, session);
  add_completion_command(program);
  CLI::App* help = program.add_subcommand("help", "what a command does");
  help->add_option("COMMAND", "the command")->expected(0, 2);
  program.footer(
      "gtrain --recipe FILE [KEY=VALUE...] [options] is short for gtrain train FILE ...; FILE\n"
      "is a path or a shipped name (gtrain list recipes). gtrain help COMMAND explains one.\n"
      "Exit codes: 0 ok, 2 recipe or flags, 3 data, 4 diverged, 5 out of memory or disk, 6 run\n"
      "directory in use, 70 bug, 130/143 interrupted with the state saved.");
}

// A reader that went away (gtrain list recipes | head) is no failure; a full disk is.
void flush_output() {
  std::cout.flush();
  pollfd output{STDOUT_FILENO, POLLOUT, 0};
  const bool reader_left = ::poll(&output, 1, 0) == 1 && (output.revents & POLLERR) != 0;
  if (!std::cout && !reader_left) {
    throw base::ResourceError("standard output: cannot be written to");
  }
}

}  // namespace

int run_program(std::vector<std::string> arguments, const std::string& version,
                const models::Zoo& zoo, const std::string& file) {
  Session session{version, zoo, file};
  CLI::App program("gtrain trains graph transformers from recipes.", "gtrain");
  build(program, session);
  spell_out_train(arguments);

  const auto asked = [&](std::initializer_list<std::string_view> flags) {
    const auto end = std::find(arguments.begin(), arguments.end(), "--");
    return std::find_first_of(arguments.begin(), end, flags.begin(), flags.end()) != end;
  };
  if (is_reload(arguments)) {
    reload(arguments);
  } else if (asked({"--version", "-V"})) {
    std::cout << "gtrain " << version << "\n";
  } else if (!arguments.empty() && arguments[0] == "help") {
    print_help(program, {arguments.begin() + 1, arguments.end()});
  } else if (arguments.empty() || asked({"--help", "-h"})) {
    print_help(program, arguments);
  } else {
    find_command(program, arguments);
    std::reverse(arguments.begin(), arguments.end());  // the order CLI11 wants
    program.parse(std::move(arguments));
  }
  flush_output();
  return session.code;
}

}  // namespace gtrain::cli
