// Whole files as text, inflated when their name ends in .gz. Handles several members one after
// another, header names and comments, and zero padding at the end (RFC 1952). A file that ends too
// early, fails its CRC, carries foreign bytes or expands beyond the caps is refused.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace gtrain::data {

// Bytes followed by one NUL, so that a parser may look one past the end.
class Text {
 public:
  Text() = default;
  Text(std::unique_ptr<char[]> bytes, std::size_t size) : bytes_(std::move(bytes)), size_(size) {}
  const char* begin() const { return bytes_ ? bytes_.get() : ""; }
  const char* end() const { return begin() + size_; }
  std::size_t size() const { return size_; }
  std::string_view view() const { return {begin(), size_}; }

 private:
  std::unique_ptr<char[]> bytes_;
  std::size_t size_ = 0;
};

// A file may inflate to `free` bytes, and beyond that to `ratio` times its own size but never above
// `most` (0: half of the machine's memory). Deflate itself cannot exceed a ratio of 1,032.
struct InflateLimits {
  std::size_t free = std::size_t{1} << 28;
  std::size_t ratio = 250;
  std::size_t most = 0;
};

// Throws base::DataError `path: what; expected …`. Cost: one pass, output held in memory.
Text read_text(const std::filesystem::path& path, const InflateLimits& limits = {});

// Raw deflate of known size (a zip member). `where` names it in errors.
Text inflate_raw(std::string_view compressed, std::size_t size, const std::string& where);

}  // namespace gtrain::data
