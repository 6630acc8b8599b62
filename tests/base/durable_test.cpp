#include "gtrain/base/durable.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <iterator>
#include <string>

#include "gtrain/base/error.h"
#include "support/temporary_directory.h"

namespace gtrain::base {
namespace {

namespace fs = std::filesystem;

std::ptrdiff_t entries(const fs::path& directory) {
  return std::distance(fs::directory_iterator(directory), fs::directory_iterator());
}

// Files of this process cannot grow beyond `bytes` while one of these lives: stands for a full
// disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &old_);
    previous_ = std::signal(SIGXFSZ, SIG_IGN);
    const rlimit small{bytes, old_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &small);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    std::signal(SIGXFSZ, previous_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit old_{};
  void (*previous_)(int) = SIG_DFL;
};

class DurableFile : public testing::Test {
 protected:
  test::TemporaryDirectory directory_;
  fs::path path_ = directory_.path() / "artefact";
};

TEST_F(DurableFile, ReadsBackEveryByte) {
  std::string bytes(100'000, '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i % 251);
  write_durable(path_, bytes);
  EXPECT_EQ(read_file(path_), bytes);
}

TEST_F(DurableFile, ReplacesTheOldFileAndLeavesNothingBeside) {
  write_durable(path_, "old");
  write_durable(path_, "");
  EXPECT_EQ(read_file(path_), "");
  EXPECT_EQ(entries(directory_.path()), 1);
}

TEST_F(DurableFile, FullDiskKeepsTheOldFileAndRemovesTheTemporary) {
  write_durable(path_, "old");
  {
    const FileSizeLimit limit(4096);
    try {
      write_durable(path_, std::string(100'000, 'x'));
      ADD_FAILURE() << "wrote beyond the limit";
    } catch (const ResourceError& error) {
      EXPECT_THAT(error.what(), testing::AllOf(testing::HasSubstr(path_.string()),
                                               testing::HasSubstr("100000 bytes")));
    }
  }
  EXPECT_EQ(read_file(path_), "old");
  EXPECT_EQ(entries(directory_.path()), 1);
}

TEST_F(DurableFile, WhatAKilledWriteLeftIsCleared) {
  const fs::path folder = directory_.path() / "killed";
  fs::create_directory(folder);
  for (const char* name : {".last.safetensors.tmp-a1B2c3", ".lock", "mine.tmp-a1B2c3"}) {
    write_durable(folder / "x", "");
    fs::rename(folder / "x", folder / name);
  }
  clear_temporaries(folder / "last.safetensors");
  EXPECT_EQ(entries(folder), 2);
  EXPECT_FALSE(fs::exists(folder / ".last.safetensors.tmp-a1B2c3"));
  EXPECT_NO_THROW(clear_temporaries(folder / "nowhere" / "last.safetensors"));
}

TEST_F(DurableFile, MissingDirectoryIsAResourceError) {
  EXPECT_THROW(write_durable(directory_.path() / "none" / "x", "y"), ResourceError);
}

TEST_F(DurableFile, TargetThatIsADirectoryIsRefusedAndTheTemporaryRemoved) {
  fs::create_directory(path_);
  EXPECT_THROW(write_durable(path_, "x"), ResourceError);
  EXPECT_EQ(entries(directory_.path()), 1);
}

TEST_F(DurableFile, ReadingNamesThePathAndTheReason) {
  try {
    read_file(path_);
    FAIL() << "read a file that does not exist";
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), testing::AllOf(testing::HasSubstr(path_.string()),
                                             testing::HasSubstr("No such file")));
  }
  EXPECT_THROW(read_file(directory_.path()), DataError);
}

TEST_F(DurableFile, DirectoryIsMadeWithItsParentsOrRefused) {
  make_directory(directory_.path() / "a" / "b");
  make_directory(directory_.path() / "a" / "b");
  EXPECT_TRUE(fs::is_directory(directory_.path() / "a" / "b"));
  write_durable(path_, "a file");
  EXPECT_THROW(make_directory(path_ / "below"), ResourceError);
}

TEST(HashHex, IsXxh3Of128Bits) {
  // The published value for no input.
  EXPECT_EQ(hash_hex(""), "99aa06d3014798d86001c324468d497f");
  EXPECT_NE(hash_hex("a"), hash_hex("b"));
}

TEST_F(DurableFile, DeviceIsNotReplacedByAFile) {
  fs::create_symlink("/dev/null", path_);
  EXPECT_THROW(write_durable(path_, "x"), ResourceError);
  EXPECT_TRUE(fs::is_symlink(path_));
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

TEST_F(DurableFile, LinkIsKeptAndItsFileReplaced) {
  const fs::path file = directory_.path() / "elsewhere";
  write_durable(file, "old");
  fs::create_symlink(file, path_);
  write_durable(path_, "new");
  EXPECT_TRUE(fs::is_symlink(path_));
  EXPECT_EQ(read_file(file), "new");
}

TEST_F(DurableFile, NamedPipeIsRefusedWithoutWaiting) {
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_THROW(read_file(path_), DataError);
}

TEST_F(DurableFile, RenamesOverAnOlderFile) {
  write_durable(path_, "old");
  write_durable(directory_.path() / "next", "new");
  rename_durable(directory_.path() / "next", path_);
  EXPECT_EQ(read_file(path_), "new");
  EXPECT_THROW(rename_durable(directory_.path() / "next", path_), ResourceError);
}

}  // namespace
}  // namespace gtrain::base
