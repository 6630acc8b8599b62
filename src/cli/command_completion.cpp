#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "gtrain/cli/command.h"

namespace gtrain::cli {

namespace {

std::vector<const CLI::App*> commands_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

std::string command_names(const CLI::App& app) {
  std::string out;
  for (const CLI::App* command : commands_of(app)) {
    out += (out.empty() ? "" : " ") + command->get_name();
  }
  return out;
}

std::string flags(const CLI::App& command) {
  std::string out;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      out += " --" + name;
    }
  }
  return out;
}

// What stands at the first place after a command, beside files: a shell expression for words.
std::string first_words(const CLI::App& command) {
  const std::string& name = command.get_name();
  if (name == "train" || name == "validate" || name == "plan" || name == "show" || name == "copy") {
    return "$(gtrain list recipes --names 2>/dev/null)";
  }
  if (name == "table") return "$(gtrain list tables --names 2>/dev/null)";
  if (name == "list") return "models encodings datasets recipes tables metrics patterns";
  if (name == "completion") return "bash zsh fish";
  return command_names(command);
}

std::string bash_script(const CLI::App& program) {
  std::string out =
      "_gtrain() {\n"
      "  local word=${COMP_WORDS[COMP_CWORD]} words=\n"
      "  case \"${COMP_WORDS[*]:1:COMP_CWORD-1}\" in\n";
  const auto branch = [&](const std::string& pattern, const CLI::App& command) {
    out += fmt::format("    \"{0}\" | \"{0} \"*) words=\"{1}{2}\" ;;\n", pattern,
                       first_words(command), flags(command));
  };
  for (const CLI::App* command : commands_of(program)) {
    for (const CLI::App* inner : commands_of(*command)) {
      branch(command->get_name() + " " + inner->get_name(), *inner);
    }
    branch(command->get_name(), *command);
  }
  out += fmt::format(
      "    --recipe) words=\"$(gtrain list recipes --names 2>/dev/null)\" ;;\n"
      "    *) words=\"{} --recipe --version --help\" ;;\n"
      "  esac\n"
      "  COMPREPLY=($(compgen -W \"$words\" -- \"$word\") $(compgen -f -- \"$word\"))\n"
      "}}\n"
      "complete -o filenames -F _gtrain gtrain\n",
      command_names(program));
  return out;
}

std::string quoted(std::string text) {
  for (std::size_t at = 0; (at = text.find('\'', at)) != std::string::npos; at += 2) {
    text.insert(at, "\\");
  }
  return "'" + text + "'";
}

std::string fish_script(const CLI::App& program) {
  std::string out;
  for (const CLI::App* command : commands_of(program)) {
    const std::string name = command->get_name();
    out += fmt::format("complete -c gtrain -n __fish_use_subcommand -a {} -d {}\n", name,
                       quoted(command->get_description()));
    const std::string seen = quoted("__fish_seen_subcommand_from " + name);
    std::string words = first_words(*command);
    if (words.rfind("$(", 0) == 0) words.erase(0, 1);  // fish substitutes commands without the $
    if (!words.empty()) out += fmt::format("complete -c gtrain -n {} -a '{}'\n", seen, words);
    for (const CLI::Option* option : command->get_options()) {
      for (const std::string& flag : option->get_lnames()) {
        out += fmt::format("complete -c gtrain -n {} -l {} -d {}\n", seen, flag,
                           quoted(option->get_description()));
      }
    }
  }
  return out;
}

}  // namespace

std::string completion_script(const CLI::App& program, const std::string& shell) {
  if (shell == "fish") return fish_script(program);
  const std::string bash = bash_script(program);
  return shell == "zsh" ? "autoload -U +X bashcompinit && bashcompinit\n" + bash : bash;
}

void add_completion_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand(
      "completion", "completion script for a shell: source <(gtrain completion bash)");
  auto shell = std::make_shared<std::string>();
  command->add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}).description(""));
  command->callback([shell, &program] { std::cout << completion_script(program, *shell); });
}

}  // namespace gtrain::cli
