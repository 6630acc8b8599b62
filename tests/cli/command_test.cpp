#include "gtrain/cli/command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <fstream>

#include "gtrain/cli/program.h"
#include "support/temporary_directory.h"

namespace gtrain::cli {
namespace {

using testing::HasSubstr;

// What a command prints on stdout.
std::string output_of(std::vector<std::string> arguments) {
  testing::internal::CaptureStdout();
  EXPECT_EQ(run_program(std::move(arguments), "9.9.9"), 0);
  return testing::internal::GetCapturedStdout();
}

class Completion : public testing::Test {
 protected:
  Completion() {
    CLI::App* train = program.add_subcommand("train", "train it");
    train->add_flag("--quiet", quiet, "don't talk");
    program.add_subcommand("data", "look")->add_subcommand("info", "about it");
  }
  CLI::App program{"", "gtrain"};
  bool quiet = false;
};

TEST_F(Completion, KnowsCommandsFlagsAndInnerCommands) {
  const std::string bash = completion_script(program, "bash");
  EXPECT_THAT(bash, HasSubstr("train data"));
  EXPECT_THAT(bash, HasSubstr("--quiet"));
  EXPECT_THAT(bash, HasSubstr("\"data info\""));
  EXPECT_THAT(completion_script(program, "zsh"), HasSubstr("bashcompinit"));
  const std::string fish = completion_script(program, "fish");
  EXPECT_THAT(fish, HasSubstr("-a train -d 'train it'"));
  EXPECT_THAT(fish, HasSubstr("-l quiet -d 'don\\'t talk'"));
}

TEST_F(Completion, BashScriptIsBash) {
  test::TemporaryDirectory directory;
  const auto path = directory.path() / "completion.bash";
  std::ofstream(path) << completion_script(program, "bash");
  EXPECT_EQ(std::system(("bash -n " + path.string()).c_str()), 0);
  const std::string probe = "bash -c 'source " + path.string() +
                            "; COMP_WORDS=(gtrain train --q); COMP_CWORD=2; _gtrain;"
                            " [[ ${COMPREPLY[*]} == --quiet ]]'";
  EXPECT_EQ(std::system(probe.c_str()), 0);
}

TEST(Doctor, NamesVersionsProcessorMemoryAndFolders) {
  const std::string text = doctor_text("1.2.3");
  for (const char* part : {"gtrain     1.2.3", "torch      ", "tbb ", "libhdf5", "libyaml-cpp",
                           "processor  ", "GiB total", "cache      ", "free", "GTRAIN_DATA"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
}

TEST(List, ShowsEveryTable) {
  EXPECT_THAT(output_of({"list", "models"}), HasSubstr("Rampasek et al. 2022 (verified: golden)"));
  EXPECT_THAT(output_of({"list", "encodings"}), HasSubstr("random_walk"));
  EXPECT_THAT(output_of({"list", "metrics"}), HasSubstr("rocauc"));
  EXPECT_THAT(output_of({"list", "patterns"}), HasSubstr("expander"));
  EXPECT_THAT(output_of({"list", "datasets"}), HasSubstr("freesolv"));
  EXPECT_THAT(output_of({"list", "recipes"}), HasSubstr("zinc/gps"));
  EXPECT_THAT(output_of({"list", "recipes", "--names"}), HasSubstr("texas/gps\n"));
  EXPECT_THAT(output_of({"list", "tables"}), HasSubstr("gps-ablation"));
}

TEST(RecipeCommand, ShowsAndCopiesWithoutOverwriting) {
  const std::string text = output_of({"recipe", "show", "zinc/gps"});
  EXPECT_EQ(text.rfind("# gtrain --recipe zinc/gps\n", 0), 0U);
  test::TemporaryDirectory directory;
  const std::string file = (directory.path() / "mine.yaml").string();
  EXPECT_EQ(output_of({"recipe", "copy", "zinc/gps", file}), file + "\n");
  EXPECT_ANY_THROW(run_program({"recipe", "copy", "esol/gps", file}, "9.9.9"));
  std::ifstream in(file);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), text);
}

TEST(ExplainCommand, PrintsTablesMarkdownAndSchema) {
  EXPECT_THAT(output_of({"explain", "gps"}), HasSubstr("attention_dropout"));
  EXPECT_THAT(output_of({"explain"}), HasSubstr("gtrain explain NAME knows: adagrad"));
  EXPECT_THAT(output_of({"explain", "--markdown"}), HasSubstr("| `width` | integer"));
  EXPECT_THAT(output_of({"explain", "--schema"}), HasSubstr("json-schema.org/draft/2020-12"));
}

}  // namespace
}  // namespace gtrain::cli
