// The commands: each function adds its commands to the program, with their flags and what they do.
// A command runs while the arguments are parsed, in its callback; its exit code goes into the
// session.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}
namespace gtrain::models {
class Zoo;
}

namespace gtrain::cli {

struct Session {
  std::string version;
  const models::Zoo& zoo;  // the models that recipes may name
  std::string program;     // file to start this program again with; empty: it cannot be
  int code = 0;
};

void add_run_commands(CLI::App& program, Session& session);  // train resume eval predict
void add_table_command(CLI::App& program, Session& session);
void add_export_command(CLI::App& program, const Session& session);
void add_prune_command(CLI::App& program, const Session& session);
void add_recipe_commands(CLI::App& program, Session& session);  // validate plan explain recipe
void add_list_command(CLI::App& program, const Session& session);
void add_data_commands(CLI::App& program);
void add_doctor_command(CLI::App& program, const Session& session);
void add_completion_command(CLI::App& program);

// What doctor prints: versions, processor, memory, folders.
std::string doctor_text(const std::string& version);

// What `export` starts this program again with, to load a file in a process of its own: the word
// and a number of threads. No command: it talks to its parent over standard input.
inline constexpr const char* kReloadWord = "--reload-exported";
bool is_reload(const std::vector<std::string>& arguments);
void reload(const std::vector<std::string>& arguments);

// A completion script for "bash", "zsh" or "fish", made from the program's own commands and flags.
std::string completion_script(const CLI::App& program, const std::string& shell);

}  // namespace gtrain::cli
