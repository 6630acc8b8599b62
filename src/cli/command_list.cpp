#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "gtrain/cli/command.h"
#include "gtrain/data/catalog.h"
#include "gtrain/encode/encoding.h"
#include "gtrain/models/zoo.h"
#include "gtrain/ops/attention_pattern.h"
#include "gtrain/sparsify/plan.h"
#include "gtrain/train/metric.h"
#include "gtrain/train/recipe_file.h"
#include "gtrain/train/table.h"

namespace gtrain::cli {

namespace {

using Row = std::pair<std::string, std::string>;  // name, what it is

std::vector<Row> model_rows(const models::Zoo& zoo) {
  std::vector<Row> rows;
  for (const models::Entry& entry : zoo) {
    rows.emplace_back(entry.name, fmt::format("{} (verified: {})", entry.paper, entry.verified));
  }
  return rows;
}

template <class... Ts>
std::vector<Row> alternatives(std::variant<Ts...> options) {
  std::vector<Row> rows;
  for (const auto& entry : base::detail::Choice<Ts...>(options).alternatives()) {
    rows.emplace_back(entry.name, entry.doc);
  }
  return rows;
}

// The second comment line of a recipe or table says what it is; the first is the command.
Row file_row(const std::string& name, const std::filesystem::path& path) {
  std::ifstream file(path);
  std::string line, doc;
  std::getline(file, line);
  if (std::getline(file, line) && line.rfind("# ", 0) == 0) doc = line.substr(2);
  return {name, doc};
}

std::vector<Row> recipe_rows() {
  std::vector<Row> rows;
  for (const std::string& name : train::shipped_recipes()) {
    rows.push_back(file_row(name, train::find_recipe(name)));
  }
  return rows;
}

std::vector<Row> table_rows() {
  std::vector<Row> rows;
  for (const std::string& name : train::shipped_tables()) {
    rows.push_back(file_row(name, train::find_table(name)));
  }
  return rows;
}

std::vector<Row> metric_rows() {
  std::vector<Row> rows;
  for (const train::Metric& metric : train::metrics()) {
    rows.emplace_back(metric.name, fmt::format("{} ({} is better)", metric.doc,
                                               metric.maximise ? "larger" : "smaller"));
  }
  return rows;
}

std::vector<Row> pattern_rows() {
  std::vector<Row> rows;
  for (const ops::PatternListing& pattern : ops::pattern_catalog()) {
    rows.emplace_back(pattern.name, pattern.options.empty()
                                        ? pattern.doc
                                        : fmt::format("{} ({})", pattern.doc, pattern.options));
  }
  return rows;
}

std::vector<Row> sparsity_rows() {
  std::vector<Row> rows;
  for (const sparsify::Entry& rule : sparsify::catalog()) {
    rows.emplace_back(rule.name, fmt::format("{} ({})", rule.doc, rule.paper));
  }
  return rows;
}

std::vector<Row> dataset_rows() {
  std::vector<Row> rows;
  for (const data::Listing& listing : data::list_datasets()) {
    rows.emplace_back(listing.card.name, listing.card.title);
  }
  return rows;
}

std::vector<Row> rows_of(const std::string& what, const models::Zoo& zoo) {
  if (what == "models") return model_rows(zoo);
  if (what == "encodings") return alternatives(encode::EncodingOptions());
  if (what == "recipes") return recipe_rows();
  if (what == "tables") return table_rows();
  if (what == "metrics") return metric_rows();
  if (what == "patterns") return pattern_rows();
  if (what == "sparsity") return sparsity_rows();
  return dataset_rows();
}

void print(const std::vector<Row>& rows, bool names) {
  std::size_t width = 0;
  for (const Row& row : rows) width = std::max(width, row.first.size());
  for (const Row& row : rows) {
    std::cout << (names ? row.first : fmt::format("{:<{}}  {}", row.first, width, row.second))
              << "\n";
  }
}

}  // namespace

void add_list_command(CLI::App& program, const Session& session) {
  CLI::App* command = program.add_subcommand("list",
                                             "models, encodings, datasets, recipes, tables, "
                                             "metrics, attention patterns or sparsity rules");
  struct Arguments {
    std::string what;
    bool names = false;
  };
  auto a = std::make_shared<Arguments>();
  command
      ->add_option("WHAT", a->what,
                   "models, encodings, datasets, recipes, tables, metrics, patterns or sparsity")
      ->required()
      ->check(CLI::IsMember({"models", "encodings", "datasets", "recipes", "tables", "metrics",
                             "patterns", "sparsity"})
                  .description(""));
  command->add_flag("--names", a->names, "names only");
  command->callback([a, &session] {
    if (a->what == "datasets" && !a->names) {
      std::cout << data::describe_catalog();  // says where each one lies, too
    } else {
      print(rows_of(a->what, session.zoo), a->names);
    }
  });
}

}  // namespace gtrain::cli
