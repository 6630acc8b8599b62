#include "gtrain/deploy/reload.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <torch/csrc/jit/api/module.h>
#include <unistd.h>

#include <filesystem>
#include <sstream>

#include "gtrain/base/error.h"

namespace gtrain::deploy {
namespace {

// forward(x, y) = x + 2 y, and a check of its own.
std::string sum_module() {
  torch::jit::Module module("sum");
  module.define(
      "def forward(self, x: Tensor, y: Tensor) -> Tensor:\n"
      "    assert x.size(0) == y.size(0), \"y: has {} rows\".format(y.size(0))\n"
      "    return x + 2 * y\n");
  std::ostringstream out;
  module.save(out);
  return out.str();
}

Calls calls() {
  const at::Tensor x = at::arange(6, at::kFloat).view({2, 3});
  return {{x, x}, {x.t(), at::ones({3, 2}, at::kLong)}, {at::zeros({0}), at::zeros({0})}};
}

void expect_sums(const std::vector<at::Tensor>& out) {
  const Calls in = calls();
  ASSERT_EQ(out.size(), in.size());
  for (std::size_t i = 0; i < out.size(); ++i) EXPECT_TRUE(out[i].equal(in[i][0] + 2 * in[i][1]));
}

Command program() { return {GTRAIN_BINARY_DIR "/bin/gtrain", "--reload-exported", "1"}; }
bool built() { return std::filesystem::exists(program()[0]); }

TEST(Reload, RunsTheBytesHere) { expect_sums(run_here(sum_module(), calls())); }

TEST(Reload, RunsTheBytesInAProcessOfItsOwn) {
  if (!built()) GTEST_SKIP() << "build the target gtrain first";
  expect_sums(run_elsewhere(program(), sum_module(), calls()));
}

TEST(Reload, SaysWhatTheOtherProcessSays) {
  if (!built()) GTEST_SKIP() << "build the target gtrain first";
  EXPECT_THAT(
      [] {
        run_elsewhere(program(), sum_module(), {{at::ones({2}), at::ones({3})}});
      },
      ::testing::ThrowsMessage<std::runtime_error>(::testing::HasSubstr("y: has 3 rows")));
  EXPECT_THROW(run_elsewhere(program(), "no archive", calls()), std::runtime_error);
}

TEST(Reload, AProgramThatAnswersNothingIsAnError) {
  EXPECT_THAT(
      [] {
        run_elsewhere({"/bin/sh", "-c", "exit 7"}, sum_module(), calls());
      },
      ::testing::ThrowsMessage<std::runtime_error>(
          ::testing::HasSubstr("ended with 7 and no outputs")));
}

TEST(Reload, AKilledProcessIsSaidToBe) {
  EXPECT_THAT(
      [] {
        run_elsewhere({"/bin/sh", "-c", "kill -9 $$"}, sum_module(), calls());
      },
      ::testing::ThrowsMessage<base::ResourceError>(::testing::HasSubstr("signal 9")));
  EXPECT_THAT(
      [] {
        run_elsewhere({"/bin/sh", "-c", "kill -11 $$"}, sum_module(), calls());
      },
      ::testing::ThrowsMessage<std::runtime_error>(::testing::HasSubstr("signal 11")));
}

TEST(Reload, AProgramThatIsNotThereIsAResourceError) {
  EXPECT_THROW(run_elsewhere({"/nowhere/gtrain"}, sum_module(), calls()), base::ResourceError);
}

TEST(Reload, ARequestThatEndsEarlyIsAnsweredWithAnError) {
  for (const std::string& request : {std::string(), std::string("abc"), std::string(8, '\x7f')}) {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    ASSERT_EQ(::send(ends[0], request.data(), request.size(), 0),
              static_cast<ssize_t>(request.size()));
    ::shutdown(ends[0], SHUT_WR);
    serve_reload(ends[1]);
    ::close(ends[1]);
    char answer[64] = {};
    EXPECT_GT(::recv(ends[0], answer, sizeof answer - 1, 0), 0);
    EXPECT_STREQ(answer, "fthe request ends early");
    ::close(ends[0]);
  }
}

}  // namespace
}  // namespace gtrain::deploy
