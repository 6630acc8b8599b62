// The program as a user runs it: as a process of its own, in a directory and with a cache of its
// own.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "support/temporary_directory.h"

namespace gtrain::cli {

namespace fs = std::filesystem;

// Overrides of the quickstart recipe with which epochs pass quickly.
inline const char* const kTinyModel = "model.width=16 model.layers=1 model.encoders[0].dim=4";

inline const char* const kProgram = GTRAIN_BINARY_DIR "/bin/gtrain";

struct Ended {
  int code = -1;
  std::string text;  // stdout and stderr
};

class Program : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(fs::exists(kProgram)) << "build the target gtrain first"; }

  std::string command(const std::string& arguments) const {
    return "cd " + directory.path().string() + " && " + limit +
           "GTRAIN_CACHE=" + (directory.path() / "cache").string() + " GTRAIN_DATA= exec " +
           kProgram + " " + arguments;
  }

  Ended run(const std::string& arguments) const {
    Ended ended;
    std::FILE* pipe = ::popen(("(" + command(arguments) + ") 2>&1").c_str(), "r");
    std::array<char, 4096> buffer{};
    for (std::size_t n; (n = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) {
      ended.text.append(buffer.data(), n);
    }
    const int status = ::pclose(pipe);
    ended.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return ended;
  }

  // Started through /bin/sh, which the program replaces, so that signals reach it.
  pid_t start(const std::string& arguments) const {
    const pid_t child = ::fork();
    if (child == 0) {
      const std::string line = command(arguments) + " >/dev/null 2>&1";
      ::execl("/bin/sh", "sh", "-c", line.c_str(), nullptr);
      ::_exit(127);
    }
    return child;
  }

  bool appears(const fs::path& file) const {
    for (int i = 0; i < 600; ++i) {
      std::error_code ignored;
      if (fs::exists(directory.path() / file, ignored)) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return false;
  }

  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(directory.path() / name) << text;
    return name;
  }

  test::TemporaryDirectory directory;
  std::string limit;  // a shell command before the program
};

}  // namespace gtrain::cli
