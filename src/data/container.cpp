#include "gtrain/data/container.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <tbb/parallel_for.h>
#include <unistd.h>
#include <xxhash.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <mutex>
#include <optional>
#include <string_view>

#include "gtrain/base/durable.h"
#include "gtrain/base/error.h"
#include "gtrain/data/image.h"

namespace gtrain::data {
namespace {

constexpr char kMagic[8] = {'\x89', 'g', 't', 'r', 'a', 'i', 'n', '\n'};
constexpr const char* kIndexName = "gtrain_index";
constexpr DType kTypes[] = {DType::kI8,  DType::kU8,  DType::kI16, DType::kI32,
                            DType::kI64, DType::kF32, DType::kF64};
constexpr Per kPers[] = {Per::kGraph, Per::kNode, Per::kEdge, Per::kPair};

using Hash = XXH128_canonical_t;

// The first bytes of the user block; little-endian, no padding, zeros up to the hash at 496.
struct Header {
  char magic[8];
  std::uint32_t version;
  std::uint32_t block;
  std::uint64_t file_size, index_offset, index_size;
  Hash index, frame;
};
static_assert(sizeof(Header) == 72);
constexpr std::size_t kHeaderHashed = kUserBlock - sizeof(Hash);

Hash hash_of(std::string_view bytes) {
  Hash h;
  XXH128_canonicalFromHash(&h, XXH3_128bits(bytes.data(), bytes.size()));
  return h;
}

bool same(const Hash& a, const Hash& b) { return std::memcmp(&a, &b, sizeof(Hash)) == 0; }

struct Extent {
  std::uint64_t begin, end;
};

// Everything outside the user block and the arrays, in file order.
Hash frame_of(std::string_view file, std::vector<Extent> arrays) {
  std::sort(arrays.begin(), arrays.end(),
            [](const Extent& a, const Extent& b) { return a.begin < b.begin; });
  std::string frame;
  std::uint64_t at = kUserBlock;
  for (const Extent& array : arrays) {
    frame.append(file.substr(at, array.begin - at));
    at = array.end;
  }
  frame.append(file.substr(at));
  return hash_of(frame);
}

std::string json_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += fmt::format("\\{}", c);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string facts_json(const Container& content) {
  std::string out = fmt::format("\"kind\": {},\n\"facts\": {{", json_text(content.kind));
  const char* comma = "";
  for (const auto& [key, value] : content.facts.text) {
    out += fmt::format("{}\n  {}: {}", comma, json_text(key), json_text(value));
    comma = ",";
  }
  for (const auto& [key, values] : content.facts.numbers) {
    out += fmt::format("{}\n  {}: [{}]", comma, json_text(key), fmt::join(values, ", "));
    comma = ",";
  }
  return out + "\n}";
}

std::string array_json(const Column& c) {
  return fmt::format(
      "\"name\": {}, \"per\": \"{}\", \"dtype\": \"{}\", \"rows\": {}, \"width\": {}",
      json_text(c.name), name_of(c.per), name_of(c.dtype), c.rows, c.width);
}

std::string hex(const Hash& h) {
  std::string out;
  for (const unsigned char byte : h.digest) out += fmt::format("{:02x}", byte);
  return out;
}

std::string_view bytes_of(const Column& c) {
  return {static_cast<const char*>(c.data), c.data == nullptr ? 0 : c.bytes()};
}

std::vector<Hash> hashes_of(const std::vector<Column>& arrays) {
  std::vector<Hash> hashes(arrays.size());
  tbb::parallel_for(std::size_t{0}, arrays.size(),
                    [&](std::size_t i) { hashes[i] = hash_of(bytes_of(arrays[i])); });
  return hashes;
}

std::string index_json(const Container& content, const std::vector<Hash>& hashes,
                       const std::vector<std::uint64_t>& offsets) {
  std::string listed = facts_json(content);
  std::string rows;
  for (std::size_t i = 0; i < offsets.size(); ++i) {
    const std::string row = array_json(content.arrays[i]);
    listed += row + hex(hashes[i]);
    rows += fmt::format("{}\n  {{{}, \"offset\": {}, \"bytes\": {}, \"xxh3_128\": \"{}\"}}",
                        i == 0 ? "" : ",", row, offsets[i], bytes_of(content.arrays[i]).size(),
                        hex(hashes[i]));
  }
  return fmt::format(
      "{{\"format\": \"gtrain\",\n\"version\": {},\n\"hash\": \"{}\",\n{},\n"
      "\"arrays\": [{}\n]}}\n",
      kContainerVersion, base::hash_hex(listed), facts_json(content), rows);
}

// Reading: one mapped file, refused piece by piece.
class Reader {
 public:
  Reader(const std::filesystem::path& path, std::string kind)
      : path_(path.string()), kind_(std::move(kind)) {
    map();
  }

  Container read() {
    check_header();
    Container content = parse_index();
    if (!same(frame_of(file_, extents_), header_.frame)) {
      fail("damaged outside the arrays (their hash does not match the user block)");
    }
    verify(content);
    return content;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw base::DataError(
        fmt::format("{}: {}; expected an undamaged gtrain store, version {} (import it again)",
                    path_, what, kContainerVersion));
  }

  void map() {
    // Without waiting: a named pipe would have no end.
    const int fd = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status {};
    if (fd < 0 || ::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
      const std::string reason = fd < 0 ? std::strerror(errno) : "not a regular file";
      if (fd >= 0) ::close(fd);
      throw base::DataError(fmt::format("{}: cannot be read: {}", path_, reason));
    }
    const auto size = static_cast<std::size_t>(status.st_size);
    void* memory =
        size < kUserBlock ? MAP_FAILED : ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
    const int error = errno;
    ::close(fd);
    if (size < kUserBlock) fail(fmt::format("{} bytes are too few for a store", size));
    if (memory == MAP_FAILED) {
      throw base::ResourceError(
          fmt::format("{}: cannot map {} bytes: {}", path_, size, std::strerror(error)));
    }
    owner_ = std::shared_ptr<const void>(
        memory, [size](const void* p) { ::munmap(const_cast<void*>(p), size); });
    file_ = {static_cast<const char*>(memory), size};
  }

  void check_header() {
    std::memcpy(&header_, file_.data(), sizeof(Header));
    if (std::memcmp(header_.magic, kMagic, sizeof kMagic) != 0) {
      fail(file_.starts_with("\x89HDF\r\n\x1a\n") ? "an HDF5 file that gtrain did not write"
                                                  : "does not begin with gtrain's magic number");
    }
    Hash stated;
    std::memcpy(&stated, file_.data() + kHeaderHashed, sizeof stated);
    if (!same(hash_of(file_.substr(0, kHeaderHashed)), stated)) {
      fail("damaged in the user block (bytes 0 to 511)");
    }
    if (header_.version != kContainerVersion) {
      fail(fmt::format("written as version {} of the format", header_.version));
    }
    if (header_.file_size != file_.size()) {
      fail(fmt::format("{} to {} bytes, {} were written",
                       file_.size() < header_.file_size ? "truncated" : "grown", file_.size(),
                       header_.file_size));
    }
    if (header_.index_offset > file_.size() ||
        header_.index_size > file_.size() - header_.index_offset ||
        !same(hash_of(index()), header_.index)) {
      fail(fmt::format("damaged in the index (bytes {} to {})", header_.index_offset,
                       header_.index_offset + header_.index_size));
    }
  }

  std::string_view index() const { return file_.substr(header_.index_offset, header_.index_size); }

  Container parse_index() {
    Container content;
    try {
      const YAML::Node root = YAML::Load(std::string(index()));
      content.kind = root["kind"].as<std::string>();
      content.hash = root["hash"].as<std::string>();
      for (const auto& fact : root["facts"]) {
        const auto key = fact.first.as<std::string>();
        if (fact.second.IsSequence()) {
          content.facts.numbers[key] = fact.second.as<std::vector<std::int64_t>>();
        } else {
          content.facts.text[key] = fact.second.as<std::string>();
        }
      }
      for (const YAML::Node& row : root["arrays"]) content.arrays.push_back(array(row));
    } catch (const YAML::Exception& e) {
      fail(fmt::format("an index that cannot be parsed ({})", e.what()));
    }
    if (content.kind != kind_) fail(fmt::format("holds '{}', not '{}'", content.kind, kind_));
    return content;
  }

  Column array(const YAML::Node& row) {
    Column c;
    c.name = row["name"].as<std::string>();
    c.rows = row["rows"].as<std::int64_t>();
    c.width = row["width"].as<std::int64_t>();
    const auto dtype = row["dtype"].as<std::string>();
    const auto per = row["per"].as<std::string>();
    const auto offset = row["offset"].as<std::uint64_t>();
    const auto bytes = row["bytes"].as<std::uint64_t>();
    const auto* type = std::find_if(std::begin(kTypes), std::end(kTypes),
                                    [&](DType t) { return dtype == name_of(t); });
    const auto* what =
        std::find_if(std::begin(kPers), std::end(kPers), [&](Per p) { return per == name_of(p); });
    if (type == std::end(kTypes) || what == std::end(kPers) || c.rows < 0 || c.width < 0 ||
        (bytes != 0 && (offset < kUserBlock || offset % 64 != 0 || offset > file_.size() ||
                        bytes > file_.size() - offset))) {
      fail("an impossible entry in the index: " + c.name);
    }
    c.dtype = *type;
    c.per = *what;
    // The first condition also keeps the product of the second from overflowing.
    const auto most = static_cast<std::int64_t>(file_.size());
    if ((c.rows > 0 && c.width > most / c.rows) || c.bytes() != bytes) {
      fail("an array whose size does not fit its shape: " + c.name);
    }
    hashes_.push_back(row["xxh3_128"].as<std::string>());
    if (bytes != 0) {
      c.data = file_.data() + offset;
      extents_.push_back({offset, offset + bytes});
    }
    c.owner = owner_;
    return c;
  }

  void verify(const Container& content) const {
    const std::vector<Hash> found = hashes_of(content.arrays);
    for (std::size_t i = 0; i < found.size(); ++i) {
      if (hex(found[i]) == hashes_[i]) continue;
      const Column& c = content.arrays[i];
      const auto at = static_cast<std::size_t>(static_cast<const char*>(c.data) - file_.data());
      fail(fmt::format("damaged in array '{}' (bytes {} to {})", c.name, at, at + c.bytes()));
    }
  }

  std::string path_;
  std::string kind_;
  std::shared_ptr<const void> owner_;
  std::string_view file_;
  Header header_{};
  std::vector<Extent> extents_;
  std::vector<std::string> hashes_;
};

}  // namespace

void write_container(const std::filesystem::path& path, const Container& content) {
  static std::mutex hdf5;  // the library keeps global state
  const std::lock_guard lock(hdf5);
  std::size_t total = 0;
  for (const Column& c : content.arrays) total += bytes_of(c).size() + 1024;
  const std::vector<Hash> hashes = hashes_of(content.arrays);
  Image image(total);
  std::vector<std::uint64_t> offsets;
  std::vector<Extent> extents;
  for (const Column& c : content.arrays) {
    offsets.push_back(image.place(c.name, c.dtype, c.rows, c.width));
    if (offsets.back() != 0) {
      extents.push_back({offsets.back(), offsets.back() + bytes_of(c).size()});
    }
  }
  const std::string index = index_json(content, hashes, offsets);
  Header header{};
  header.version = kContainerVersion;
  header.block = kUserBlock;
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.index_size = index.size();
  header.index_offset =
      image.place(kIndexName, DType::kU8, static_cast<std::int64_t>(index.size()), 1);
  header.index = hash_of(index);
  char* file = image.finish();
  header.file_size = image.size();
  std::memcpy(file + header.index_offset, index.data(), index.size());
  tbb::parallel_for(std::size_t{0}, offsets.size(), [&](std::size_t i) {
    const std::string_view bytes = bytes_of(content.arrays[i]);
    if (!bytes.empty()) std::memcpy(file + offsets[i], bytes.data(), bytes.size());
  });
  const std::string_view whole(file, image.size());
  header.frame = frame_of(whole, extents);
  std::memcpy(file, &header, sizeof header);
  const Hash own = hash_of(whole.substr(0, kHeaderHashed));
  std::memcpy(file + kHeaderHashed, &own, sizeof own);
  base::write_durable(path, whole);
}

bool is_container(const std::filesystem::path& path) {
  char start[sizeof kMagic] = {};
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return false;
  std::ifstream(path, std::ios::binary).read(start, sizeof start);
  return std::memcmp(start, kMagic, sizeof kMagic) == 0;
}

Container read_container(const std::filesystem::path& path, const std::string& kind) {
  return Reader(path, kind).read();
}

}  // namespace gtrain::data
