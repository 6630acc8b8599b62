#include "gtrain/base/log.h"

#include <gtest/gtest.h>

#include "gtrain/base/durable.h"
#include "support/temporary_directory.h"

namespace gtrain::base {
namespace {

// Puts the process-wide sink back however a test ends.
class Log : public testing::Test {
 protected:
  ~Log() override {
    set_quiet(false);
    set_log_file(nullptr);
  }
  test::TemporaryDirectory directory_;
  std::filesystem::path path_ = directory_.path() / "log.txt";
};

TEST_F(Log, NotesAndWarningsGoToStandardError) {
  testing::internal::CaptureStderr();
  note("epoch 1");
  warn("slow disk");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "epoch 1\nwarning: slow disk\n");
}

TEST_F(Log, QuietSilencesNotesButNotWarnings) {
  testing::internal::CaptureStderr();
  set_quiet(true);
  note("epoch 1");
  warn("slow disk");
  complain("disk full");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "warning: slow disk\ndisk full\n");
}

TEST_F(Log, FileReceivesEveryLineEvenWhenQuietAndIsAppendedTo) {
  testing::internal::CaptureStderr();
  set_quiet(true);
  set_log_file(path_.c_str());
  note("one");
  EXPECT_EQ(read_file(path_), "one\n");  // before it is closed: each line is flushed
  set_log_file(nullptr);
  note("lost");
  set_log_file(path_.c_str());
  warn("two");
  set_log_file(nullptr);
  testing::internal::GetCapturedStderr();
  EXPECT_EQ(read_file(path_), "one\nwarning: two\n");
}

TEST_F(Log, RedrawPrintsNothingWhenStandardErrorIsNoTerminal) {
  testing::internal::CaptureStderr();
  EXPECT_FALSE(terminal());
  redraw("50 %");
  redraw("");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace gtrain::base
