#include "gtrain/data/npz.h"

#include <fmt/format.h>
#include <zlib.h>

#include <charconv>
#include <cstring>
#include <optional>
#include <string_view>

#include "gtrain/base/durable.h"
#include "gtrain/base/error.h"
#include "gtrain/data/gzip.h"

namespace gtrain::data {
namespace {

template <class T>
T little(std::string_view bytes, std::size_t at) {
  T value{};
  std::memcpy(&value, bytes.data() + at, sizeof(T));
  return value;
}

struct Member {
  std::string name;
  std::uint16_t method = 0;
  std::uint32_t crc = 0;
  std::uint64_t packed = 0, size = 0, offset = 0;
};

// The part of the zip format that numpy writes: central directory, local headers, zip64 fields.
class Zip {
 public:
  Zip(std::string bytes, std::string path) : bytes_(std::move(bytes)), path_(std::move(path)) {}

  std::vector<Member> members() const {
    const std::size_t end = end_record();
    std::uint64_t count = little<std::uint16_t>(bytes_, end + 10);
    std::uint64_t at = little<std::uint32_t>(bytes_, end + 16);
    if (count == 0xffff || at == 0xffffffff) {
      if (end < 20 || little<std::uint32_t>(bytes_, end - 20) != 0x07064b50)
        fail("no zip64 record");
      const auto far = little<std::uint64_t>(bytes_, end - 20 + 8);
      need(far, 56);
      count = little<std::uint64_t>(bytes_, far + 32);
      at = little<std::uint64_t>(bytes_, far + 48);
    }
    std::vector<Member> members;
    for (std::uint64_t i = 0; i < count; ++i) members.push_back(central(at));
    return members;
  }

  Text extract(const Member& m) const {
    need(m.offset, 30);
    if (little<std::uint32_t>(bytes_, m.offset) != 0x04034b50) fail(m.name + ": no local header");
    const std::uint64_t name = little<std::uint16_t>(bytes_, m.offset + 26);
    const std::uint64_t data = m.offset + 30 + name + little<std::uint16_t>(bytes_, m.offset + 28);
    need(data, m.packed);
    if (bytes_.substr(m.offset + 30, name) != m.name)
      fail(m.name + ": called otherwise where it is");
    const std::string_view packed = std::string_view(bytes_).substr(data, m.packed);
    const std::string where = fmt::format("{}: {}", path_, m.name);
    Text text;
    if (m.method == 8) {
      text = inflate_raw(packed, m.size, where);
    } else if (m.method == 0 && m.packed == m.size) {
      auto copy = std::make_unique_for_overwrite<char[]>(m.size + 1);
      std::memcpy(copy.get(), packed.data(), m.size);
      copy[m.size] = '\0';
      text = Text(std::move(copy), m.size);
    } else {
      fail(fmt::format("{}: zip method {}; expected stored or deflated", m.name, m.method));
    }
    const auto crc = crc32_z(0, reinterpret_cast<const Bytef*>(text.begin()), text.size());
    if (crc != m.crc) fail(m.name + ": the CRC does not match; expected an undamaged archive");
    return text;
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw base::DataError(fmt::format("{}: {}", path_, what));
  }

 private:
  void need(std::uint64_t at, std::uint64_t size) const {
    if (at > bytes_.size() || size > bytes_.size() - at) {
      fail(fmt::format("truncated or damaged zip: {} bytes wanted at {}, the file has {}", size, at,
                       bytes_.size()));
    }
  }

  std::size_t end_record() const {
    for (std::size_t back = 22; back <= bytes_.size() && back < 22 + 65536; ++back) {
      const std::size_t at = bytes_.size() - back;
      if (little<std::uint32_t>(bytes_, at) == 0x06054b50) return at;
    }
    fail("no zip directory at the end; expected a complete .npz archive");
  }

  Member central(std::uint64_t& at) const {
    need(at, 46);
    if (little<std::uint32_t>(bytes_, at) != 0x02014b50) fail("damaged zip directory");
    const auto name = little<std::uint16_t>(bytes_, at + 28);
    const auto extra = little<std::uint16_t>(bytes_, at + 30);
    const auto comment = little<std::uint16_t>(bytes_, at + 32);
    need(at + 46, std::uint64_t{name} + extra + comment);
    Member m;
    m.name = bytes_.substr(at + 46, name);
    m.method = little<std::uint16_t>(bytes_, at + 10);
    m.crc = little<std::uint32_t>(bytes_, at + 16);
    m.packed = little<std::uint32_t>(bytes_, at + 20);
    m.size = little<std::uint32_t>(bytes_, at + 24);
    m.offset = little<std::uint32_t>(bytes_, at + 42);
    wide_fields(m, std::string_view(bytes_).substr(at + 46 + name, extra));
    at += std::uint64_t{46} + name + extra + comment;
    return m;
  }

  // zip64: fields that hold all ones stand, in this order, in extra field 1.
  static void wide_fields(Member& m, std::string_view extra) {
    while (extra.size() >= 4) {
      const auto id = little<std::uint16_t>(extra, 0);
      const auto size = little<std::uint16_t>(extra, 2);
      std::string_view body = extra.substr(4, size);
      for (std::uint64_t* field : {&m.size, &m.packed, &m.offset}) {
        if (id == 1 && *field == 0xffffffff && body.size() >= 8) {
          *field = little<std::uint64_t>(body, 0);
          body.remove_prefix(8);
        }
      }
      extra.remove_prefix(std::min<std::size_t>(extra.size(), std::size_t{4} + size));
    }
  }

  std::string bytes_;
  std::string path_;
};

struct Descr {
  std::string_view code;
  DType dtype;
};
constexpr Descr kTypes[] = {{"|b1", DType::kU8},  {"|i1", DType::kI8},  {"|u1", DType::kU8},
                            {"<i2", DType::kI16}, {"<i4", DType::kI32}, {"<i8", DType::kI64},
                            {"<f4", DType::kF32}, {"<f8", DType::kF64}};

// The value after 'key': in the Python literal of an npy header. Only the form numpy writes.
std::optional<std::string_view> value_of(std::string_view header, std::string_view key) {
  const std::string quoted = fmt::format("'{}':", key);
  const std::size_t at = header.find(quoted);
  if (at == std::string_view::npos) return std::nullopt;
  header.remove_prefix(at + quoted.size());
  while (!header.empty() && header.front() == ' ') header.remove_prefix(1);
  const char close = header.starts_with('(') ? ')' : ',';
  const std::size_t end = header.find(close);
  if (end == std::string_view::npos) return std::nullopt;
  return header.substr(0, close == ')' ? end + 1 : end);
}

std::optional<std::vector<std::int64_t>> parse_shape(std::string_view text) {
  std::vector<std::int64_t> shape;
  text.remove_prefix(1);
  while (!text.empty() && text.front() != ')') {
    if (text.front() == ',' || text.front() == ' ') {
      text.remove_prefix(1);
      continue;
    }
    std::int64_t n = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
    if (error != std::errc{} || n < 0) return std::nullopt;
    shape.push_back(n);
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  }
  return shape;
}

struct Header {
  std::vector<std::int64_t> shape;
  DType dtype;
  std::size_t data;  // where the numbers begin
};

Header parse_header(std::string_view npy, const Zip& zip, const std::string& name) {
  if (npy.size() < 12 || npy.substr(0, 6) != "\x93NUMPY") zip.fail(name + ": not an npy array");
  const int version = npy[6];
  const bool wide = version >= 2;
  const std::size_t length = wide ? little<std::uint32_t>(npy, 8) : little<std::uint16_t>(npy, 8);
  const std::size_t begin = wide ? 12 : 10;
  if (version < 1 || version > 3 || length > npy.size() - begin) {
    zip.fail(fmt::format("{}: npy version {} with a header of {} bytes; expected version 1 to 3",
                         name, version, length));
  }
  const std::string_view header = npy.substr(begin, length);
  const auto descr = value_of(header, "descr");
  const auto order = value_of(header, "fortran_order");
  const auto shape = value_of(header, "shape");
  if (!descr || !order || !shape || !shape->starts_with('(')) zip.fail(name + ": bad npy header");
  if (*order != "False") {
    zip.fail(name + ": Fortran order; expected C order (numpy.ascontiguousarray before saving)");
  }
  const auto sizes = parse_shape(*shape);
  if (!sizes) zip.fail(name + ": bad shape in the npy header");
  for (const Descr& type : kTypes) {
    if (descr->size() > 2 && descr->substr(1, descr->size() - 2) == type.code) {
      return {*sizes, type.dtype, begin + length};
    }
  }
  zip.fail(fmt::format(
      "{}: dtype {}; expected little-endian int8..int64, uint8, float32, float64{}", name, *descr,
      descr->find('O') != std::string_view::npos
          ? " (object arrays are pickles and are never loaded)"
          : ""));
}

Array parse_npy(const Text& text, const Zip& zip, const std::string& name) {
  const Header h = parse_header(text.view(), zip, name);
  std::int64_t width = 1;
  for (std::size_t i = 1; i < h.shape.size(); ++i) {
    if (__builtin_mul_overflow(width, h.shape[i], &width)) zip.fail(name + ": the shape overflows");
  }
  const std::int64_t rows = h.shape.empty() ? 1 : h.shape[0];
  std::int64_t bytes = 0;
  if (__builtin_mul_overflow(rows, width, &bytes) ||
      __builtin_mul_overflow(bytes, static_cast<std::int64_t>(size_of(h.dtype)), &bytes) ||
      static_cast<std::size_t>(bytes) != text.size() - h.data) {
    zip.fail(fmt::format("{}: the shape needs {} bytes, the member has {}", name, bytes,
                         text.size() - h.data));
  }
  Filling<void> f = make_column(h.dtype, name, Per::kGraph, rows, width);
  std::memcpy(f.data, text.begin() + h.data, static_cast<std::size_t>(bytes));
  return {h.shape, f.column};
}

}  // namespace

std::map<std::string, Array> read_npz(const std::filesystem::path& path) {
  const Zip zip(base::read_file(path), path.string());
  std::map<std::string, Array> arrays;
  for (const Member& member : zip.members()) {
    std::string name = member.name;
    if (!name.ends_with(".npy")) zip.fail(fmt::format("{}: expected only .npy members", name));
    name.resize(name.size() - 4);
    if (arrays.count(name) != 0) zip.fail(name + ": stands twice in the archive");
    arrays.emplace(name, parse_npy(zip.extract(member), zip, name));
  }
  return arrays;
}

}  // namespace gtrain::data
