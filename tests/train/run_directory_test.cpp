#include "gtrain/train/run_directory.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <optional>
#include <sstream>

#include "gtrain/base/error.h"
#include "support/temporary_directory.h"

namespace gtrain::train {
namespace {

namespace fs = std::filesystem;

TEST(RunDirectory, TakesTheNextFreeNumberAndKeepsWhatIsThere) {
  const test::TemporaryDirectory t;
  EXPECT_EQ(new_run_directory(t.path() / "runs", "zinc/gps").filename(), "zinc-gps-1");
  fs::create_directories(t.path() / "runs/zinc-gps-2/x");
  EXPECT_EQ(new_run_directory(t.path() / "runs", "zinc/gps").filename(), "zinc-gps-3");
  EXPECT_TRUE(fs::exists(t.path() / "runs/zinc-gps-2/x"));
  fs::create_directories(t.path() / "runs/zinc-gps-12");
  fs::create_directories(t.path() / "runs/zinc-gps-99b");
  EXPECT_EQ(newest_run_directory(t.path() / "runs", "zinc/gps").filename(), "zinc-gps-12");
  EXPECT_TRUE(newest_run_directory(t.path() / "runs", "zinc/gp").empty());
}

TEST(RunLock, HoldsOneProcessOutAndDiesWithItsOwner) {
  const test::TemporaryDirectory t;
  const pid_t child = ::fork();
  if (child == 0) {
    const RunLock lock(t.path());
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  std::optional<RunLock> lock(t.path());
  EXPECT_THROW(RunLock{t.path()}, base::InUseError);
  lock.reset();
  EXPECT_NO_THROW(RunLock{t.path()});
}

TEST(MetricsLog, KeepsTheLinesOfAStateAndDropsLaterOnes) {
  const test::TemporaryDirectory t;
  const fs::path path = t.path() / "metrics.jsonl";
  {
    MetricsLog log(path, 0);
    log.append("one\ntwo\n");
    EXPECT_EQ(log.lines(), 2);
    log.append("three\nhal");
  }
  {
    MetricsLog log(path, 2);
    EXPECT_EQ(log.kept(), "one\ntwo\n");
    log.append("3\n");
  }
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  EXPECT_EQ(text.str(), "one\ntwo\n3\n");
  EXPECT_THROW(MetricsLog(path, 4), base::DataError);
}

}  // namespace
}  // namespace gtrain::train
