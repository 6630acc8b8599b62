#include "gtrain/base/durable.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <system_error>

#include "gtrain/base/error.h"

namespace gtrain::base {
namespace {

namespace fs = std::filesystem;

// A temporary file that is removed unless it was renamed into place.
class Temporary {
 public:
  explicit Temporary(const fs::path& target) : target_(target) {
    const fs::path directory = target.has_parent_path() ? target.parent_path() : fs::path(".");
    path_ = (directory / ("." + target.filename().string() + ".tmp-XXXXXX")).string();
    fd_ = ::mkostemp(path_.data(), O_CLOEXEC);
    if (fd_ < 0) fail("create a temporary file for");
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  ~Temporary() {
    if (fd_ >= 0) ::close(fd_);
    if (!renamed_) ::unlink(path_.c_str());
  }

  void write(std::string_view bytes) {
    wanted_ = bytes.size();
    while (!bytes.empty()) {
      const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail("write");
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    if (::fchmod(fd_, 0644) != 0) fail("set the mode of");
    if (::fsync(fd_) != 0) fail("sync");
    const int fd = fd_;
    fd_ = -1;
    if (::close(fd) != 0) fail("close");
  }

  void rename() {
    if (::rename(path_.c_str(), target_.c_str()) != 0) fail("rename into place");
    renamed_ = true;
    const fs::path directory = target_.has_parent_path() ? target_.parent_path() : fs::path(".");
    const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) fail("open the directory of");
    const int rc = ::fsync(fd);
    const int error = errno;
    ::close(fd);
    errno = error;
    if (rc != 0) fail("sync the directory of");
  }

 private:
  [[noreturn]] void fail(const char* what) const {
    throw ResourceError(fmt::format("{}: cannot {} it: {} ({} bytes)", target_.string(), what,
                                    std::strerror(errno), wanted_));
  }

  fs::path target_;
  std::string path_;
  std::size_t wanted_ = 0;
  int fd_ = -1;
  bool renamed_ = false;
};

}  // namespace

void write_durable(const fs::path& path, std::string_view bytes) {
  Temporary file(path);
  file.write(bytes);
  file.rename();
}

std::string read_file(const fs::path& path) {
  std::error_code error;
  if (fs::is_directory(path, error)) {
    throw DataError(fmt::format("{}: is a directory; expected a file", path.string()));
  }
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    throw DataError(fmt::format("{}: cannot be read: {}", path.string(), std::strerror(errno)));
  }
  std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  if (in.bad()) throw DataError(fmt::format("{}: reading failed", path.string()));
  return bytes;
}

void make_directory(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) {
    throw ResourceError(
        fmt::format("{}: cannot create the directory: {}", path.string(), error.message()));
  }
}

std::string hash_hex(std::string_view bytes) {
  const XXH128_hash_t h = XXH3_128bits(bytes.data(), bytes.size());
  return fmt::format("{:016x}{:016x}", h.high64, h.low64);
}

}  // namespace gtrain::base
