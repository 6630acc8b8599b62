#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>

#include "gtrain/base/durable.h"
#include "gtrain/cli/command.h"
#include "gtrain/cli/interrupt.h"
#include "gtrain/cli/thread_pool.h"
#include "gtrain/train/run_directory.h"
#include "gtrain/train/table.h"
#include "not_empty.h"

namespace gtrain::cli {

namespace {

struct TableArguments {
  std::string file, runs, out;
  train::TableOptions options;
  int threads = 0;
};

int fill(const TableArguments& a, const models::Zoo& zoo) {
  train::TableOptions options = a.options;
  options.zoo = &zoo;
  options.runs = a.runs;
  options.interrupt = catch_interrupts();
  const ThreadPool pool(a.threads);
  if (!a.out.empty()) train::check_output(a.out);
  const train::TableOutcome outcome = train::fill_table(train::find_table(a.file), options);
  if (a.out.empty() || options.dry) {
    std::cout << outcome.text;
  } else if (!outcome.text.empty()) {
    base::write_durable(a.out, outcome.text);
  }
  return static_cast<int>(outcome.code);
}

}  // namespace

void add_table_command(CLI::App& program, Session& session) {
  CLI::App* command = program.add_subcommand(
      "table",
      "train what is missing of a benchmark table, and print it beside what was published");
  auto a = std::make_shared<TableArguments>();
  command->add_option("FILE", a->file, "table file, or a shipped name such as zoo")->required();
  command->add_option("OVERRIDES", a->options.overrides,
                      "KEY=VALUE of the table, such as budget.epochs=1 or seeds=0..9");
  command->add_option("--runs", a->runs, "where its runs lie (default: runs/tables/<name>)")
      ->check(not_empty())
      ->type_name("DIR");
  command->add_option("--only", a->options.only, "the row of this label alone")
      ->check(not_empty())
      ->type_name("ROW");
  command
      ->add_option("--format", a->options.format, "md, csv, latex, html, json or svg (default: md)")
      ->check(CLI::IsMember(train::table_formats()).description(""))
      ->type_name("FORMAT");
  command->add_option("--out", a->out, "file to write instead of the terminal")
      ->check(not_empty())
      ->type_name("F");
  command->add_flag("--dry", a->options.dry, "say what would run, run nothing");
  command->add_flag("--as-is", a->options.as_is, "the table of what is there, run nothing");
  command->add_option("--threads", a->threads, "threads to use (default: all processors)")
      ->check(CLI::Range(1, 4096).description(""))
      ->type_name("N");
  command->add_flag("--quiet", a->options.quiet, "no progress on the terminal");
  command->callback([a, &session] { session.code = fill(*a, session.zoo); });
}

}  // namespace gtrain::cli
