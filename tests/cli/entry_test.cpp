#include "gtrain/cli/entry.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "gtrain/models/gps.h"

namespace gtrain::cli {
namespace {

struct Ended {
  int code;
  std::string out, error;
};

Ended run(std::vector<std::string> words, const models::Zoo& zoo = models::zoo()) {
  words.insert(words.begin(), "gtrain");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  const int code = run_main(static_cast<int>(argv.size()), argv.data(), zoo);
  return {code, testing::internal::GetCapturedStdout(), testing::internal::GetCapturedStderr()};
}

TEST(RunMain, TurnsErrorsIntoALineAndAnExitCode) {
  const Ended recipe = run({"validate", "nosuch/recipe"});
  EXPECT_EQ(recipe.code, 2);
  EXPECT_NE(recipe.error.find("nosuch/recipe: no such file"), std::string::npos) << recipe.error;
  EXPECT_EQ(run({"eval", "nosuch-run"}).code, 3);
  EXPECT_EQ(run({"train", "quickstart", "--nosuch"}).code, 2);
}

TEST(RunMain, OffersTheModelsOfTheCallersZoo) {
  models::Zoo own{models::entry<models::GpsOptions>("a paper of mine", "not yet")};
  const Ended listed = run({"list", "models"}, own);
  EXPECT_EQ(listed.code, 0);
  EXPECT_EQ(listed.out, "gps  a paper of mine (verified: not yet)\n");
  EXPECT_EQ(run({"validate", "freesolv/graphormer"}, own).code, 2);
}

}  // namespace
}  // namespace gtrain::cli
