#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "cli/program_run.h"

namespace gtrain::cli {
namespace {

using testing::HasSubstr;

class ExportProgram : public Program {
 protected:
  void SetUp() override {
    Program::SetUp();
    ASSERT_EQ(run(std::string("train quickstart ") + kTinyModel +
                  " train.epochs=1 train.schedule.warmup=0 --run r --quiet")
                  .code,
              0);
  }

  std::string content(const std::string& name) const {
    std::ifstream in(directory.path() / name, std::ios::binary);
    std::stringstream out;
    out << in.rdbuf();
    return out.str();
  }

  // Names in the working directory, so that nothing is left behind unnoticed.
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& entry : fs::directory_iterator(directory.path())) {
      out.push_back(entry.path().filename().string());
    }
    return out;
  }
};

TEST_F(ExportProgram, LoadsTheFileAgainInAFreshProcess) {
  const Ended out = run("export r --out m.pt");
  EXPECT_EQ(out.code, 0) << out.text;
  EXPECT_THAT(out.text, HasSubstr("in a fresh process and compared on 65 graphs"));
  EXPECT_THAT(names(), testing::UnorderedElementsAre("cache", "m.pt", "r"));
}

TEST_F(ExportProgram, PredictsWithEachFormOfTheFile) {
  ASSERT_EQ(run("predict r --out want.csv").code, 0);
  const std::string want = content("want.csv");
  for (const char* flags : {"", "--freeze", "--dtype bf16", "--encodings input"}) {
    ASSERT_EQ(run(std::string("export r --out m.pt ") + flags).code, 0) << flags;
    const Ended out = run("predict m.pt --data freesolv --out got.csv.gz --threads 2");
    EXPECT_EQ(out.code, 0) << flags << out.text;
    EXPECT_THAT(out.text, HasSubstr("TorchScript is code"));
    ASSERT_EQ(run("predict m.pt --data freesolv --out got.csv").code, 0) << flags;
    const std::string got = content("got.csv");
    EXPECT_EQ(std::count(got.begin(), got.end(), '\n'), std::count(want.begin(), want.end(), '\n'));
    EXPECT_EQ(got.substr(0, 12), "graph,task0\n");
  }
}

TEST_F(ExportProgram, DamagedForeignAndMissingFilesAreThree) {
  ASSERT_EQ(run("export r --out m.pt").code, 0);
  std::string bytes = content("m.pt");
  bytes[bytes.size() / 3] = static_cast<char>(bytes[bytes.size() / 3] ^ 32);
  std::ofstream(directory.path() / "damaged.pt", std::ios::binary) << bytes;
  std::ofstream(directory.path() / "empty.pt");
  const std::pair<const char*, const char*> wrong[] = {
      {"damaged.pt", "damaged.pt: its content has the hash"},
      {"empty.pt", "empty.pt: has no seal at its end"},
      {"missing.pt", "missing.pt: cannot be read"},
      {"r/last.safetensors", "r/last.safetensors: has no seal at its end"},
      {"missing", "missing"}};
  for (const auto& [name, says] : wrong) {
    const Ended out = run(std::string("predict ") + name + " --out p.csv");
    EXPECT_EQ(out.code, 3) << name;
    EXPECT_THAT(out.text, HasSubstr(says));
  }
  EXPECT_FALSE(fs::exists(directory.path() / "p.csv"));
}

TEST_F(ExportProgram, MistakesAreTwoAndWhatCannotBeWrittenIsFive) {
  EXPECT_EQ(run("export r --out m.pt --dtype half").code, 2);
  EXPECT_EQ(run("export r --out m.safetensors --format safetensors --freeze").code, 2);
  EXPECT_EQ(run("export r --out nowhere/m.pt").code, 5);
  EXPECT_EQ(run("export r --out r").code, 5);
  std::ofstream(directory.path() / "config.json") << "{}";
  const Ended out = run("export r --out m.safetensors --format safetensors");
  EXPECT_EQ(out.code, 2);
  EXPECT_THAT(out.text, HasSubstr("config.json is there and belongs to something else"));
  EXPECT_THAT(names(), testing::UnorderedElementsAre("cache", "config.json", "r"));
}

}  // namespace
}  // namespace gtrain::cli
