#include "gtrain/cli/program.h"

#include <gmock/gmock.h>
#include <sys/wait.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "cli/program_run.h"

namespace gtrain::cli {
namespace {

using testing::HasSubstr;

TEST_F(Program, TellsItsVersionAndHelps) {
  EXPECT_EQ(run("--version").code, 0);
  EXPECT_THAT(run("--version").text, HasSubstr("gtrain "));
  const Ended help = run("help");
  EXPECT_EQ(help.code, 0);
  for (const char* name :
       {"train", "resume", "eval", "predict", "validate", "plan", "explain", "list", "data",
        "doctor", "recipe", "completion", "export", "report", "table"}) {
    EXPECT_THAT(help.text, HasSubstr(std::string("\n  ") + name));
    EXPECT_EQ(run(std::string("help ") + name).code, 0) << name;
    EXPECT_EQ(run(std::string(name) + " --help").text, run(std::string("help ") + name).text);
  }
  EXPECT_THAT(run("help data verify").text, HasSubstr("gtrain data verify"));
}

TEST_F(Program, UnknownCommandsAndFlagsAreTwo) {
  const Ended command = run("trian zinc/gps");
  EXPECT_EQ(command.code, 2);
  EXPECT_THAT(command.text, HasSubstr("unknown command trian (did you mean train?)"));
  EXPECT_EQ(run("data vrify x").code, 2);
  EXPECT_EQ(run("help nosuch").code, 2);
  EXPECT_EQ(run("train").code, 2);
  EXPECT_EQ(run("train quickstart --nosuch").code, 2);
  EXPECT_EQ(run("train quickstart --threads none").code, 2);
  EXPECT_EQ(run("train quickstart --threads 0").code, 2);
  EXPECT_EQ(run("list nosuch").code, 2);
  EXPECT_EQ(run("train quickstart --run ''").code, 2);  // an unset variable of the shell
  EXPECT_EQ(run("train quickstart --seeds ''").code, 2);
}

TEST_F(Program, RecipeMistakesAreTwoAndAllNamed) {
  const Ended bad =
      run("validate " + write("bad.yaml", "dataset: {nam: zinc}\nmodel: {name: gsp}\n"));
  EXPECT_EQ(bad.code, 2);
  EXPECT_THAT(bad.text, HasSubstr("bad.yaml:1:11: dataset.nam: unknown key (did you mean name?)"));
  EXPECT_THAT(bad.text,
              HasSubstr("bad.yaml:2:15: model.name: unknown value gsp (did you mean gps?)"));
  const Ended line = run("--recipe zinc/gps train.epoch=3 model.width=wide");
  EXPECT_EQ(line.code, 2);
  EXPECT_THAT(line.text,
              HasSubstr("command line: train.epoch=3: unknown key (did you mean epochs?)"));
  EXPECT_THAT(line.text,
              HasSubstr("command line: model.width=wide: expected an integer, got wide"));
}

TEST_F(Program, ValidateGoesThroughAllFilesBeforeItFails) {
  const std::string bad = write("bad.yaml", "[]");
  const Ended ended = run("validate " + bad + " quickstart");
  EXPECT_EQ(ended.code, 2);
  EXPECT_THAT(ended.text, HasSubstr("quickstart: ok"));
  EXPECT_THAT(ended.text, HasSubstr("bad.yaml:1:1: expected a map of keys, got a list"));
}

TEST_F(Program, ValidateNamesTheProblemsOfRecipesBesideThoseOfData) {
  fs::create_directories(directory.path() / "empty");
  const std::string bad = write("bad.yaml", "[]");
  const Ended ended = run("validate " + bad + " quickstart dataset.path=empty");
  EXPECT_EQ(ended.code, 2);
  EXPECT_THAT(ended.text, HasSubstr("bad.yaml:1:1"));
  EXPECT_THAT(ended.text, HasSubstr("empty"));
  EXPECT_EQ(run("validate quickstart dataset.path=empty").code, 3);
}

TEST_F(Program, ResumeWithoutADirectoryTakesTheNewestRunOfTheRecipe) {
  const std::string line =
      "--recipe quickstart model.width=16 model.layers=1 "
      "model.encoders[0].dim=4 train.epochs=2 train.schedule.warmup=1 --quiet";
  ASSERT_EQ(run(line).code, 0);
  ASSERT_EQ(run(line).code, 0);
  ASSERT_TRUE(fs::exists(directory.path() / "runs/quickstart-2/result.json"));
  EXPECT_EQ(run(line + " --resume").code, 0);
  EXPECT_FALSE(fs::exists(directory.path() / "runs/quickstart-3"));
}

TEST_F(Program, ValidateCountsParametersWhereTheDataIsHere) {
  const Ended here = run("validate quickstart");
  EXPECT_EQ(here.code, 0);
  EXPECT_THAT(here.text, HasSubstr("parameters, 642 graphs"));
  EXPECT_THAT(run("validate zinc/gps").text, HasSubstr("data set not found here"));
}

TEST_F(Program, MissingDataIsThreeAndMissingCudaIsTwo) {
  EXPECT_EQ(run("train quickstart dataset.path=nowhere").code, 3);
  EXPECT_EQ(run("eval nowhere").code, 3);
  EXPECT_EQ(run("resume nowhere").code, 3);
  EXPECT_EQ(run("data verify nowhere.h5").code, 3);
  const Ended cuda = run("train quickstart --device cuda:0");
  EXPECT_EQ(cuda.code, 2);
  EXPECT_THAT(cuda.text, HasSubstr("no CUDA"));
}

TEST_F(Program, ImportsVerifiesAndDescribesADataSet) {
  EXPECT_EQ(run("data import freesolv f.h5").code, 0);
  EXPECT_EQ(run("data verify f.h5").code, 0);
  EXPECT_THAT(run("data stats f.h5").text, HasSubstr("642 graphs"));
  EXPECT_THAT(run("data info freesolv").text, HasSubstr("rmse"));
}

TEST_F(Program, GeneratesADataSetThatImports) {
  ASSERT_EQ(run("data generate csl csl --graphs 20").code, 0);
  EXPECT_EQ(run("data import csl csl.h5").code, 0);
  EXPECT_EQ(run("data generate csl csl --graphs 20").code, 3);
  EXPECT_EQ(run("data generate cls other").code, 2);
}

TEST_F(Program, AClosedPipeIsNoCrash) {
  const std::string code = (directory.path() / "code").string();
  const std::string line = "((" + command("explain --schema") + "); echo $? > " + code + ") | :";
  EXPECT_EQ(std::system(line.c_str()), 0);
  ASSERT_TRUE(appears("code"));
  std::ifstream in(code);
  int ended = -1;
  in >> ended;
  EXPECT_EQ(ended, 0);
}

const std::string kTiny = "--recipe quickstart " + std::string(kTinyModel) + " --quiet ";

TEST_F(Program, TrainsEvaluatesAndPredicts) {
  const Ended trained = run(kTiny + "train.epochs=2 train.schedule.warmup=1 --run r");
  ASSERT_EQ(trained.code, 0) << trained.text;
  for (const char* file : {"r/recipe.yaml", "r/metrics.jsonl", "r/result.json"}) {
    EXPECT_TRUE(fs::exists(directory.path() / file)) << file;
  }
  const Ended eval = run("eval r");
  EXPECT_EQ(eval.code, 0);
  EXPECT_THAT(eval.text, HasSubstr("\"rmse\""));
  EXPECT_THAT(run("eval r --split all").text, HasSubstr("\"split\":\"all\""));
  const Ended all = run("eval r --split all");
  EXPECT_EQ(all.code, 0);
  EXPECT_THAT(all.text, HasSubstr("\"split\":\"all\""));
  EXPECT_EQ(run("predict r --data freesolv --out p.csv").code, 0);
  EXPECT_EQ(run("eval r dataset.batch_size=7").code, 0);
  for (const char* key :
       {"select=last", "train.loss=l2", "dataset.transform[0].name=virtual_node"}) {
    const Ended refused = run(std::string("eval r ") + key);
    EXPECT_EQ(refused.code, 2) << key;
    EXPECT_THAT(refused.text, HasSubstr("cannot be changed of a trained model"));
    EXPECT_EQ(run(std::string("predict r --out q.csv ") + key).code, 2) << key;
  }
  EXPECT_TRUE(fs::exists(directory.path() / "p.csv"));
  EXPECT_EQ(run("validate r/recipe.yaml").code, 0);
  fs::remove(directory.path() / "r/report.html");
  EXPECT_EQ(run("report r").code, 0);
  EXPECT_TRUE(fs::exists(directory.path() / "r/report.html"));
}

TEST_F(Program, ExportsAndRefusesToExportWhatIsNoRun) {
  ASSERT_EQ(run(kTiny + "train.epochs=1 train.schedule.warmup=0 --run r").code, 0);
  const Ended exported = run("export r --out model.pt");
  EXPECT_EQ(exported.code, 0) << exported.text;
  EXPECT_TRUE(fs::exists(directory.path() / "model.pt"));
  EXPECT_EQ(run("export r --out weights.safetensors --format safetensors").code, 0);
  EXPECT_TRUE(fs::exists(directory.path() / "weights.safetensors"));
  EXPECT_EQ(run("export r --out model.pt --format onnx").code, 2);
  const Ended missing = run("export nosuch --out other.pt");
  EXPECT_EQ(missing.code, 3) << missing.text;
  EXPECT_FALSE(fs::exists(directory.path() / "other.pt"));
}

TEST_F(Program, ADivergedRunIsFourAndNamesTheEpoch) {
  const Ended ended = run(kTiny +
                          "train.epochs=50 train.loss=l2 train.clip_norm=0 --run r "
                          "'train.optimizer={name: sgd, lr: 1000}' "
                          "'train.schedule={name: constant}'");
  EXPECT_EQ(ended.code, 4);
  EXPECT_THAT(ended.text, HasSubstr("diverged in epoch "));
}

TEST_F(Program, AModelLargerThanTheMemoryIsFive) {
  limit = "ulimit -v 3000000 && ";  // KiB; the program itself takes a third of it
  const Ended ended = run("--recipe quickstart model.width=8192 --quiet --run r");
  EXPECT_EQ(ended.code, 5);
  EXPECT_THAT(ended.text, HasSubstr("out of memory"));
}

TEST_F(Program, InterruptedTrainingSavesAndGoesOn) {
  const pid_t child = start(kTiny + "train.epochs=100000 --run r");
  ASSERT_TRUE(appears("r/last.safetensors"));
  ASSERT_EQ(::kill(child, SIGINT), 0);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 130);

  const pid_t again = start("resume r --quiet");
  std::this_thread::sleep_for(std::chrono::milliseconds(1500));
  ASSERT_EQ(::kill(again, SIGTERM), 0);
  ASSERT_EQ(::waitpid(again, &status, 0), again);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 143);
}

TEST_F(Program, ARunDirectoryInUseIsSix) {
  const pid_t child = start(kTiny + "train.epochs=100000 --run r");
  ASSERT_TRUE(appears("r/last.safetensors"));
  EXPECT_EQ(run("resume r --quiet").code, 6);
  ASSERT_EQ(::kill(child, SIGTERM), 0);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 143);
}

}  // namespace
}  // namespace gtrain::cli
