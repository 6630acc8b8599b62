#include "gtrain/data/gzip.h"

#include <fmt/format.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "gtrain/base/durable.h"
#include "gtrain/base/error.h"

namespace gtrain::data {
namespace {

constexpr int kGzipWindow = 15 + 16;
constexpr int kRawWindow = -15;

class Inflater {
 public:
  explicit Inflater(int window) {
    if (inflateInit2(&stream, window) != Z_OK) {
      throw base::ResourceError("zlib: no memory for an inflate state");
    }
  }
  ~Inflater() { inflateEnd(&stream); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  z_stream stream{};
};

// A growing buffer that is never zeroed.
class Buffer {
 public:
  explicit Buffer(std::size_t capacity)
      : bytes_(std::make_unique_for_overwrite<char[]>(capacity + 1)), capacity_(capacity) {}
  void grow() {
    const std::size_t wanted = std::max<std::size_t>(capacity_ * 2, 1 << 16);
    auto bigger = std::make_unique_for_overwrite<char[]>(wanted + 1);
    std::memcpy(bigger.get(), bytes_.get(), size);
    bytes_ = std::move(bigger);
    capacity_ = wanted;
  }
  std::size_t room() const { return capacity_ - size; }
  char* tail() { return bytes_.get() + size; }
  Text finish() && {
    bytes_[size] = '\0';
    return {std::move(bytes_), size};
  }

  std::size_t size = 0;

 private:
  std::unique_ptr<char[]> bytes_;
  std::size_t capacity_;
};

std::size_t most_bytes(const InflateLimits& limits, std::size_t compressed) {
  std::size_t most = limits.most;
  if (most == 0) {
    most = static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) *
           static_cast<std::size_t>(sysconf(_SC_PAGE_SIZE)) / 2;
  }
  return std::min(most, std::max(limits.free, compressed * limits.ratio));
}

// The size modulo 2^32 that the last member states of itself: right for nearly every file, and only
// a first guess.
std::size_t stated_size(std::string_view gz, std::size_t most) {
  if (gz.size() < 18) return 0;
  std::uint32_t size = 0;
  std::memcpy(&size, gz.data() + gz.size() - 4, 4);
  return std::min<std::size_t>({size, most, gz.size() * 1032});
}

std::string zlib_reason(const z_stream& stream) {
  return stream.msg != nullptr ? stream.msg : "bad data";
}

class GzipReader {
 public:
  GzipReader(std::string_view gz, std::string name, std::size_t most)
      : gz_(gz), name_(std::move(name)), most_(most), out_(stated_size(gz, most)) {}

  Text read() {
    if (gz_.size() < 2 || gz_.substr(0, 2) != "\x1f\x8b") {
      throw base::DataError(
          fmt::format("{}: does not begin with the gzip magic number; expected a gzip file "
                      "(or the plain file without .gz in its name)",
                      name_));
    }
    while (at_ < gz_.size()) {
      if (at_ > 0 && padding()) break;
      member();
    }
    return std::move(out_).finish();
  }

 private:
  bool padding() const {
    return std::all_of(gz_.begin() + static_cast<std::ptrdiff_t>(at_), gz_.end(),
                       [](char c) { return c == '\0'; });
  }

  void member() {
    Inflater inflater(kGzipWindow);
    z_stream& s = inflater.stream;
    int rc = Z_OK;
    while (rc != Z_STREAM_END) {
      if (out_.room() == 0) out_.grow();
      const std::size_t in = std::min<std::size_t>(gz_.size() - at_, 1U << 30);
      const std::size_t room = std::min<std::size_t>(out_.room(), 1U << 30);
      s.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(gz_.data() + at_));
      s.avail_in = static_cast<uInt>(in);
      s.next_out = reinterpret_cast<Bytef*>(out_.tail());
      s.avail_out = static_cast<uInt>(room);
      rc = inflate(&s, Z_NO_FLUSH);
      at_ += in - s.avail_in;
      out_.size += room - s.avail_out;
      check(rc, s);
    }
  }

  void check(int rc, const z_stream& s) const {
    if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR) {
      throw base::DataError(
          fmt::format("{}: damaged gzip near byte {} of {} ({}); expected a "
                      "complete file",
                      name_, at_, gz_.size(), zlib_reason(s)));
    }
    if (out_.size > most_) {
      throw base::DataError(
          fmt::format("{}: {} bytes inflate to more than {}; expected less (unpack it and give the "
                      "plain .csv if it is meant to be so large)",
                      name_, gz_.size(), most_));
    }
    if (rc != Z_STREAM_END && at_ == gz_.size() && s.avail_out != 0) {
      throw base::DataError(fmt::format(
          "{}: truncated gzip, ends after {} bytes in the middle of a member; expected a complete "
          "file",
          name_, gz_.size()));
    }
  }

  std::string_view gz_;
  std::string name_;
  std::size_t most_;
  Buffer out_;
  std::size_t at_ = 0;
};

}  // namespace

Text read_text(const std::filesystem::path& path, const InflateLimits& limits) {
  const std::string bytes = base::read_file(path);
  if (path.extension() == ".gz") {
    return GzipReader(bytes, path.string(), most_bytes(limits, bytes.size())).read();
  }
  auto copy = std::make_unique_for_overwrite<char[]>(bytes.size() + 1);
  std::memcpy(copy.get(), bytes.c_str(), bytes.size() + 1);
  return {std::move(copy), bytes.size()};
}

Text inflate_raw(std::string_view compressed, std::size_t size, const std::string& where) {
  constexpr std::size_t kMost = std::size_t{1} << 30;
  if (size / 1032 > compressed.size()) {
    throw base::DataError(fmt::format("{}: {} bytes cannot inflate to {}; expected at most {}",
                                      where, compressed.size(), size, compressed.size() * 1032));
  }
  auto bytes = std::make_unique_for_overwrite<char[]>(size + 1);
  Inflater inflater(kRawWindow);
  z_stream& s = inflater.stream;
  s.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(compressed.data()));
  s.next_out = reinterpret_cast<Bytef*>(bytes.get());
  int rc = Z_OK;
  while (rc == Z_OK) {
    s.avail_in = static_cast<uInt>(std::min(compressed.size() - s.total_in, kMost));
    s.avail_out = static_cast<uInt>(std::min(size - s.total_out, kMost));
    rc = inflate(&s, Z_NO_FLUSH);
  }
  if (rc != Z_STREAM_END || s.total_out != size) {
    throw base::DataError(fmt::format("{}: damaged deflate data ({}), {} of {} bytes came out",
                                      where, zlib_reason(s), s.total_out, size));
  }
  bytes[size] = '\0';
  return {std::move(bytes), size};
}

}  // namespace gtrain::data
