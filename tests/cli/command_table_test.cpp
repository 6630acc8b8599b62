#include <gmock/gmock.h>
#include <sys/wait.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "cli/program_run.h"
#include "gtrain/cli/command.h"

namespace gtrain::cli {
namespace {

using testing::HasSubstr;

class TableProgram : public Program {
 protected:
  // Rows of tiny models.
  std::string table(const std::string& epochs) const {
    return write("t.yaml",
                 "title: Tiny\nset: [model.width=16, model.layers=1, "
                 "\"model.encoders[0].dim=4\", train.schedule.warmup=0, train.epochs=" +
                     epochs +
                     "]\nrows:\n- {label: tiny, recipe: quickstart, seeds: [0, 1]}\n"
                     "- {label: deep, recipe: quickstart, set: [model.layers=2]}\n");
  }

  bool some_run_has(const std::string& file) const {
    for (int i = 0; i < 600; ++i) {
      std::error_code ignored;
      for (const auto& entry :
           fs::recursive_directory_iterator(directory.path() / "kept", ignored)) {
        if (entry.path().filename() == file) return true;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return false;
  }
};

TEST_F(TableProgram, TrainsPrintsAndReuses) {
  const std::string file = table("1");
  EXPECT_THAT(run("table " + file + " --dry --only deep").text, HasSubstr("would run: seed-0"));
  const Ended first = run("table " + file + " --quiet");
  ASSERT_EQ(first.code, 0) << first.text;
  EXPECT_THAT(first.text, HasSubstr("# Tiny"));
  EXPECT_THAT(first.text, HasSubstr("| tiny | freesolv | rmse | "));
  EXPECT_THAT(run("table " + file + " --dry").text, HasSubstr("done: seed-0, seed-1"));
  EXPECT_TRUE(fs::exists(directory.path() / "runs/tables/t"));
  EXPECT_EQ(run("table " + file + " --format csv --out t.csv --quiet").text, "");
  EXPECT_TRUE(fs::exists(directory.path() / "t.csv"));
  EXPECT_EQ(run("table " + file + " --quiet").text, first.text);
  EXPECT_EQ(run("table " + file + " --format pdf").code, 2);
}

TEST_F(TableProgram, MistakesAreTwoAndNameTheirPlace) {
  const Ended bad = run("table " + write("bad.yaml", "rows:\n- {recipe: quickstrat}\n"));
  EXPECT_EQ(bad.code, 2);
  EXPECT_THAT(bad.text, HasSubstr("bad.yaml:2:12: rows[0].recipe: quickstrat: no such file, and no "
                                  "shipped recipe of that name (did you mean quickstart?)"));
  EXPECT_EQ(run("table nosuch").code, 2);
  EXPECT_EQ(run("table").code, 2);
}

TEST_F(TableProgram, InterruptedSavesAndGoesOn) {
  const std::string line = "table " + table("100000") + " --quiet --runs kept";
  const pid_t child = start(line);
  ASSERT_TRUE(some_run_has("last.safetensors"));
  ASSERT_EQ(::kill(child, SIGINT), 0);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 130);
  EXPECT_THAT(run(line + " --dry").text, HasSubstr("goes on: seed-0; would run: seed-1"));
}

TEST_F(TableProgram, AbsentDataAreGeneratedWhereNothingIsTrained) {
  limit = "export HOME=" + directory.path().string() + "; ";
  const Ended plan = run("plan zinc/gps");
  EXPECT_EQ(plan.code, 0) << plan.text;
  EXPECT_THAT(plan.text, HasSubstr("parameters           423717"));
  EXPECT_THAT(plan.text, HasSubstr("12000 in all"));
  const Ended dry = run("train zinc/gps --dry-run");
  EXPECT_EQ(dry.code, 0) << dry.text;
  EXPECT_THAT(dry.text, HasSubstr("generated data in the likeness of its card"));
  EXPECT_EQ(run("train zinc/gps").code, 2);
  EXPECT_FALSE(fs::exists(directory.path() / "runs"));
}

}  // namespace
}  // namespace gtrain::cli
