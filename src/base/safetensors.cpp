#include "gtrain/base/safetensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "gtrain/base/durable.h"
#include "gtrain/base/error.h"

namespace gtrain::base {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::size_t kLengthBytes = 8;
constexpr std::size_t kMaxHeader = 100'000'000;  // the bound of the format's reference reader
constexpr std::size_t kAlignment = 64;
constexpr int kMaxDepth = 3;  // {"name": {"shape": [..]}}
constexpr std::string_view kMetadata = "__metadata__";
constexpr std::string_view kSelfHash = "xxh3";
constexpr std::string_view kTensorHash = "xxh3:";  // + tensor name

struct Range {
  std::uint64_t begin = 0, end = 0;
};

// 0 for a type the format does not know.
std::size_t element_size(std::string_view dtype) {
  constexpr std::pair<std::string_view, std::size_t> kSizes[] = {
      {"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8},
      {"I32", 4}, {"I16", 2}, {"I8", 1},  {"U8", 1},   {"BOOL", 1}};
  for (const auto& [name, size] : kSizes) {
    if (name == dtype) return size;
  }
  return 0;
}

// False where the product leaves 64 bits or a size is negative.
bool byte_count(const RawTensor& tensor, std::uint64_t& bytes) {
  bytes = element_size(tensor.dtype);
  bool empty = false;
  for (const std::int64_t n : tensor.shape) {
    if (n < 0) return false;
    if (n == 0) {
      empty = true;
    } else if (__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(n), &bytes)) {
      return false;
    }
  }
  if (empty) bytes = 0;
  return true;
}

bool reserved(std::string_view metadata_key) {
  return metadata_key == kSelfHash || metadata_key.starts_with(kTensorHash);
}

// Hash of everything that the tensors' own hashes do not cover: names, types, shapes, metadata and
// those hashes. Each text goes in with its length, so that no two contents read alike.
std::string self_hash(const std::map<std::string, RawTensor>& tensors,
                      const std::map<std::string, std::string>& metadata) {
  std::string text;
  const auto add = [&](std::string_view part) {
    text += fmt::format("{}:", part.size());
    text += part;
  };
  for (const auto& [name, tensor] : tensors) {
    add(name);
    add(tensor.dtype);
    add(fmt::format("{}", fmt::join(tensor.shape, ",")));
  }
  text += ';';
  for (const auto& [name, value] : metadata) {
    if (name == kSelfHash) continue;
    add(name);
    add(value);
  }
  return hash_hex(text);
}

class Reader {
 public:
  Reader(std::string_view bytes, const fs::path& path, bool require_hashes)
      : path_(path), require_hashes_(require_hashes), bytes_(bytes) {}

  Safetensors read() {
    const json header = parse(header_text());
    for (const auto& [name, entry] : header.items()) {
      if (name == kMetadata) {
        read_metadata(entry);
      } else {
        read_entry(name, entry);
      }
    }
    check_tiling();
    for (auto& [name, tensor] : content_.tensors) {
      const Range r = ranges_.at(name);
      tensor.bytes = bytes_.substr(data_start_ + r.begin, r.end - r.begin);
    }
    check_hashes();
    std::erase_if(content_.metadata, [](const auto& entry) { return reserved(entry.first); });
    return std::move(content_);
  }

 private:
  template <class... Parts>
  [[noreturn]] void fail(fmt::format_string<Parts...> what, Parts&&... parts) const {
    throw DataError(fmt::format("{}: not a valid safetensors file: {}", path_.string(),
                                fmt::format(what, std::forward<Parts>(parts)...)));
  }

  std::string_view header_text() {
    if (bytes_.size() < kLengthBytes) {
      fail("{} bytes; expected at least the {} of the header length", bytes_.size(), kLengthBytes);
    }
    std::uint64_t length = 0;
    for (std::size_t i = 0; i < kLengthBytes; ++i) {
      length |= std::uint64_t{static_cast<unsigned char>(bytes_[i])} << (8 * i);
    }
    const std::size_t rest = bytes_.size() - kLengthBytes;
    if (length > kMaxHeader || length > rest) {
      fail("header length {}; expected at most {}", length, std::min(kMaxHeader, rest));
    }
    data_start_ = kLengthBytes + length;
    const std::string_view text = bytes_.substr(kLengthBytes, length);
    if (!text.starts_with('{')) fail("the header does not start with an opening brace");
    // The JSON parser takes a zero byte for the end of its input and would ignore what follows.
    if (text.find('\0') != text.npos) fail("the header holds a zero byte");
    return text;
  }

  json parse(std::string_view text) const {
    std::vector<std::set<std::string>> open;  // keys seen, per object being read
    const auto watch = [&](int depth, json::parse_event_t event, json& parsed) {
      if (depth > kMaxDepth) fail("header nested deeper than {} levels", kMaxDepth);
      if (event == json::parse_event_t::object_start) open.emplace_back();
      if (event == json::parse_event_t::object_end) open.pop_back();
      if (event == json::parse_event_t::key) {
        const auto& name = parsed.get_ref<const std::string&>();
        if (!open.back().insert(name).second) fail("'{}' stands twice in the header", name);
      }
      return true;
    };
    try {
      return json::parse(text, watch);
    } catch (const json::exception& error) {
      fail("header: {}", error.what());
    }
  }

  void read_metadata(const json& entry) {
    if (!entry.is_object()) fail("__metadata__ is no map of strings");
    for (const auto& [key, value] : entry.items()) {
      if (!value.is_string()) fail("__metadata__['{}'] is no string", key);
      content_.metadata[key] = value.get<std::string>();
    }
  }

  void read_entry(const std::string& name, const json& entry) {
    if (!entry.is_object() || entry.size() != 3 || !entry.contains("dtype") ||
        !entry.contains("shape") || !entry.contains("data_offsets")) {
      fail("tensor '{}': expected exactly dtype, shape and data_offsets", name);
    }
    RawTensor tensor;
    if (!entry["dtype"].is_string() || element_size(entry["dtype"].get<std::string>()) == 0) {
      fail("tensor '{}': dtype {}; expected F64, F32, F16, BF16, I64, I32, I16, I8, U8 or BOOL",
           name, entry["dtype"].dump());
    }
    tensor.dtype = entry["dtype"].get<std::string>();
    for (const std::uint64_t n : naturals(name, "shape", entry["shape"])) {
      tensor.shape.push_back(static_cast<std::int64_t>(n));
    }
    const auto offsets = naturals(name, "data_offsets", entry["data_offsets"]);
    if (offsets.size() != 2) fail("tensor '{}': data_offsets is no pair", name);
    const Range range{offsets[0], offsets[1]};
    const std::uint64_t size = bytes_.size() - data_start_;
    if (range.begin > range.end || range.end > size) {
      fail("tensor '{}': data_offsets [{}, {}]; expected begin <= end <= {}", name, range.begin,
           range.end, size);
    }
    std::uint64_t wanted = 0;
    if (!byte_count(tensor, wanted) || wanted != range.end - range.begin) {
      fail("tensor '{}': {} bytes of data; dtype {} and shape [{}] need {}", name,
           range.end - range.begin, tensor.dtype, fmt::join(tensor.shape, ", "), wanted);
    }
    ranges_[name] = range;
    content_.tensors[name] = std::move(tensor);
  }

  std::vector<std::uint64_t> naturals(const std::string& name, const char* key,
                                      const json& values) const {
    std::vector<std::uint64_t> out;
    bool good = values.is_array();
    if (good) {
      for (const json& v : values) {
        good = good && v.is_number_unsigned() && v.get<std::uint64_t>() <= INT64_MAX;
        if (good) out.push_back(v.get<std::uint64_t>());
      }
    }
    if (!good) {
      fail("tensor '{}': {} {}; expected integers from 0", name, key, values.dump());
    }
    return out;
  }

  // The ranges, sorted, must cover the data without overlap or gap.
  void check_tiling() const {
    std::vector<std::pair<Range, std::string_view>> sorted;
    for (const auto& [name, range] : ranges_) sorted.emplace_back(range, name);
    std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
      return std::pair(a.first.begin, a.first.end) < std::pair(b.first.begin, b.first.end);
    });
    std::uint64_t covered = 0;
    for (const auto& [range, name] : sorted) {
      if (range.begin != covered) {
        fail("tensor '{}' starts at byte {} of the data, {} the one before ends at {}", name,
             range.begin, range.begin < covered ? "inside: " : "leaving a gap:", covered);
      }
      covered = range.end;
    }
    if (covered != bytes_.size() - data_start_) {
      fail("{} bytes of data; the header describes {}", bytes_.size() - data_start_, covered);
    }
  }

  void check_hashes() const {
    const auto& metadata = content_.metadata;
    const bool hashed = std::any_of(metadata.begin(), metadata.end(),
                                    [](const auto& entry) { return reserved(entry.first); });
    if (!hashed) {
      if (require_hashes_) fail("it carries no hashes; expected those that gtrain writes");
      return;
    }
    const auto self = metadata.find(std::string(kSelfHash));
    if (self == metadata.end() || self->second != self_hash(content_.tensors, metadata)) {
      fail("the header does not match its hash: the file was damaged or edited");
    }
    for (const auto& [name, tensor] : content_.tensors) {
      const auto hash = metadata.find(std::string(kTensorHash) + name);
      if (hash == metadata.end() || hash->second != hash_hex(tensor.bytes)) {
        fail("tensor '{}' does not match its hash: the file was damaged or edited", name);
      }
    }
  }

  const fs::path& path_;
  bool require_hashes_;
  std::string_view bytes_;
  std::size_t data_start_ = 0;
  Safetensors content_;
  std::map<std::string, Range> ranges_;
};

void check_writable(const Safetensors& content) {
  for (const auto& [name, tensor] : content.tensors) {
    std::uint64_t wanted = 0;
    if (name == kMetadata || element_size(tensor.dtype) == 0 || !byte_count(tensor, wanted) ||
        wanted != tensor.bytes.size()) {
      throw std::invalid_argument(fmt::format(
          "[write_safetensors] tensor '{}': {} bytes do not fit dtype {} and shape [{}]", name,
          tensor.bytes.size(), tensor.dtype, fmt::join(tensor.shape, ", ")));
    }
  }
  for (const auto& [key, value] : content.metadata) {
    if (reserved(key)) {
      throw std::invalid_argument(
          fmt::format("[write_safetensors] metadata key '{}' is kept for the hashes", key));
    }
  }
}

// Widest elements first: without gaps, that keeps every tensor aligned to its element.
std::vector<std::string> data_order(const std::map<std::string, RawTensor>& tensors) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors) names.push_back(name);
  std::stable_sort(names.begin(), names.end(), [&](const auto& a, const auto& b) {
    return element_size(tensors.at(a).dtype) > element_size(tensors.at(b).dtype);
  });
  return names;
}

}  // namespace

Safetensors read_safetensors(const fs::path& path, bool require_hashes) {
  return parse_safetensors(read_file(path), path, require_hashes);
}

Safetensors parse_safetensors(std::string_view bytes, const fs::path& origin, bool require_hashes) {
  return Reader(bytes, origin, require_hashes).read();
}

void write_safetensors(const fs::path& path, const Safetensors& content) {
  check_writable(content);
  std::map<std::string, std::string> metadata = content.metadata;
  for (const auto& [name, tensor] : content.tensors) {
    metadata[std::string(kTensorHash) + name] = hash_hex(tensor.bytes);
  }
  metadata[std::string(kSelfHash)] = self_hash(content.tensors, metadata);

  json header = {{kMetadata, metadata}};
  std::size_t offset = 0;
  const std::vector<std::string> order = data_order(content.tensors);
  for (const std::string& name : order) {
    const RawTensor& tensor = content.tensors.at(name);
    const std::size_t end = offset + tensor.bytes.size();
    header[name] = {
        {"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.append((kAlignment - (kLengthBytes + text.size()) % kAlignment) % kAlignment, ' ');

  std::string bytes;
  bytes.reserve(kLengthBytes + text.size() + offset);
  for (std::size_t i = 0; i < kLengthBytes; ++i) {
    bytes += static_cast<char>((std::uint64_t{text.size()} >> (8 * i)) & 0xff);
  }
  bytes += text;
  for (const std::string& name : order) bytes += content.tensors.at(name).bytes;
  write_durable(path, bytes);
}

}  // namespace gtrain::base
