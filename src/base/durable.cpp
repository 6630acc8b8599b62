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
#include <vector>

#include "gtrain/base/error.h"

namespace gtrain::base {
namespace {

namespace fs = std::filesystem;

bool not_a_file(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  return fs::exists(status) && !fs::is_regular_file(status);
}

// The file a link leads to: renaming onto the link would cut it.
fs::path linked(const fs::path& path) {
  std::error_code error;
  const fs::path end = fs::is_symlink(path, error) ? fs::canonical(path, error) : fs::path();
  return end.empty() ? path : end;
}

// Makes the names in the directory of `path` durable; what failed, or nullptr.
const char* sync_directory(const fs::path& path) {
  const fs::path directory = path.has_parent_path() ? path.parent_path() : fs::path(".");
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return "open its directory";
  const int rc = ::fsync(fd);
  const int error = errno;
  ::close(fd);
  errno = error;
  return rc != 0 ? "sync its directory" : nullptr;
}

// A temporary file that is removed unless it was renamed into place.
class Temporary {
 public:
  explicit Temporary(const fs::path& target) : target_(linked(target)) {
    if (not_a_file(target)) {
      throw ResourceError(
          fmt::format("{}: is no regular file; expected a file to write or a name "
                      "that is free",
                      target.string()));
    }
    const fs::path directory = target_.has_parent_path() ? target_.parent_path() : fs::path(".");
    path_ = (directory / ("." + target_.filename().string() + ".tmp-XXXXXX")).string();
    fd_ = ::mkostemp(path_.data(), O_CLOEXEC);
    if (fd_ < 0) fail("create a temporary file for it");
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
      if (n < 0) fail("write it");
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    if (::fchmod(fd_, 0644) != 0) fail("set its mode");
    if (::fsync(fd_) != 0) fail("sync it");
    const int fd = fd_;
    fd_ = -1;
    if (::close(fd) != 0) fail("close it");
  }

  void rename() {
    if (::rename(path_.c_str(), target_.c_str()) != 0) fail("rename the temporary file onto it");
    renamed_ = true;
    if (const char* step = sync_directory(target_)) fail(step);
  }

 private:
  [[noreturn]] void fail(const char* what) const {
    throw ResourceError(fmt::format("{}: cannot {}: {} ({} bytes)", target_.string(), what,
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

void rename_durable(const fs::path& from, const fs::path& to) {
  const char* failed = ::rename(from.c_str(), to.c_str()) != 0 ? "rename" : sync_directory(to);
  if (failed != nullptr) {
    throw ResourceError(fmt::format("{}: cannot {} (to {}): {}", from.string(), failed, to.string(),
                                    std::strerror(errno)));
  }
}

void clear_temporaries(const fs::path& path) {
  const std::string prefix = "." + path.filename().string() + ".tmp-";
  std::error_code error;
  std::vector<fs::path> left;
  for (const auto& entry : fs::directory_iterator(path.parent_path(), error)) {
    if (entry.path().filename().string().starts_with(prefix)) left.push_back(entry.path());
  }
  for (const fs::path& file : left) fs::remove(file, error);
}

std::string read_file(const fs::path& path) {
  std::error_code error;
  if (fs::is_directory(path, error)) {
    throw DataError(fmt::format("{}: is a directory; expected a file", path.string()));
  }
  if (not_a_file(path)) {  // reading a pipe or device may have no end
    throw DataError(fmt::format("{}: is a pipe or device; expected a file", path.string()));
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
