#include "gtrain/deploy/archive.h"

#include <fmt/format.h>

#include <stdexcept>

#include "gtrain/base/durable.h"
#include "gtrain/base/error.h"

namespace gtrain::deploy {
namespace {

constexpr std::string_view kEndRecord("PK\5\6", 4);
constexpr std::size_t kEndBytes = 22;  // end record without comment; its last two: comment length
constexpr std::string_view kPrefix = "gtrain-xxh3:";
constexpr std::size_t kSealBytes = kPrefix.size() + 32;
constexpr std::size_t kLengthBytes = 2;
constexpr char kLengthText[kLengthBytes] = {static_cast<char>(kSealBytes), '\0'};
constexpr std::string_view kLength(kLengthText, kLengthBytes);

}  // namespace

std::string seal(std::string archive) {
  const std::size_t size = archive.size();
  if (size < kEndBytes || archive.compare(size - kEndBytes, 4, kEndRecord) != 0) {
    throw std::invalid_argument("seal: not a zip archive without a comment");
  }
  archive.resize(size - kLengthBytes);
  const std::string hash = base::hash_hex(archive);
  archive += kLength;
  archive += kPrefix;
  return archive + hash;
}

void check_seal(std::string_view bytes, const std::filesystem::path& path) {
  const std::size_t size = bytes.size();
  const auto length = [&] {  // of the comment, as the end record states it; not hashed
    return bytes.substr(size - kSealBytes - kLengthBytes, kLengthBytes);
  };
  if (size < kSealBytes + kEndBytes || bytes.substr(size - kSealBytes, kPrefix.size()) != kPrefix ||
      length() != kLength) {
    throw base::DataError(
        fmt::format("{}: has no seal at its end; expected a whole file that gtrain export wrote",
                    path.string()));
  }
  const std::string hash = base::hash_hex(bytes.substr(0, size - kSealBytes - kLengthBytes));
  if (bytes.substr(size - 32) != hash) {
    throw base::DataError(fmt::format("{}: its content has the hash {}; expected {}", path.string(),
                                      hash, bytes.substr(size - 32)));
  }
}

}  // namespace gtrain::deploy
