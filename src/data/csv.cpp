#include "gtrain/data/csv.h"

#include <fmt/format.h>
#include <tbb/parallel_for.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <string_view>
#include <vector>

#include "gtrain/base/error.h"

namespace gtrain::data {
namespace {

constexpr std::size_t kChunk = std::size_t{1} << 19;

// What one piece of the file holds: exactly one of the three lists is in use.
struct Chunk {
  const char* begin = nullptr;
  const char* end = nullptr;
  std::int64_t rows = 0;
  std::int64_t first_row = 0;  // rows in the chunks before
  std::unique_ptr<std::uint8_t[]> bytes;
  std::vector<std::int64_t> integers;
  std::vector<double> reals;
  std::int64_t low = 0, high = 0;
  const char* bad = nullptr;  // first cell or row that breaks a rule
  std::string what;
};

// The hot loop: cells 0..255 with nothing else between them. False at the first surprise.
bool parse_bytes(Chunk& chunk, std::int64_t width) {
  const std::size_t most = static_cast<std::size_t>(chunk.end - chunk.begin) / 2 + 1;
  chunk.bytes = std::make_unique_for_overwrite<std::uint8_t[]>(most);
  std::uint8_t* out = chunk.bytes.get();
  std::uint8_t high = 0;
  std::int64_t rows = 0;
  for (const char* p = chunk.begin; p < chunk.end; ++rows) {
    for (std::int64_t c = 1; c <= width; ++c) {
      unsigned value = static_cast<unsigned>(*p) - '0';
      if (value > 9) return false;
      for (++p; static_cast<unsigned>(*p) - '0' <= 9; ++p) {
        value = value * 10 + (static_cast<unsigned>(*p) - '0');
        if (value > 255) return false;
      }
      if (*p != (c == width ? '\n' : ',')) return false;
      ++p;
      *out = static_cast<std::uint8_t>(value);
      high = std::max(high, *out++);
    }
  }
  chunk.rows = rows;
  chunk.high = high;
  return true;
}

bool stands_for_missing(std::string_view cell) {
  constexpr std::string_view kWords[] = {"",    "\"\"", "nan",  "NaN",  "-nan", "NA",
                                         "N/A", "null", "NULL", "None", "<NA>"};
  return std::find(std::begin(kWords), std::end(kWords), cell) != std::end(kWords);
}

std::string_view trim(std::string_view cell) {
  while (!cell.empty() && (cell.back() == ' ' || cell.back() == '\t' || cell.back() == '\r')) {
    cell.remove_suffix(1);
  }
  while (!cell.empty() && (cell.front() == ' ' || cell.front() == '\t')) cell.remove_prefix(1);
  if (cell.size() > 1 && cell.front() == '+' && cell[1] != '-') cell.remove_prefix(1);
  return cell;
}

std::string shown(std::string_view cell) {
  std::string s;
  for (const char c : cell.substr(0, 40)) s += c >= ' ' && c < 127 ? c : '?';
  return cell.size() > 40 ? s + "…" : s;
}

class ChunkParser {
 public:
  ChunkParser(Chunk& chunk, const CsvRules& rules, std::int64_t width)
      : chunk_(chunk), rules_(rules), width_(width) {}

  void run() {
    if (parse_bytes(chunk_, width_)) return;
    chunk_.bytes.reset();
    chunk_.low = std::numeric_limits<std::int64_t>::max();
    chunk_.high = std::numeric_limits<std::int64_t>::min();
    for (const char* p = chunk_.begin; p < chunk_.end && chunk_.bad == nullptr; ++chunk_.rows) {
      const auto* newline =
          static_cast<const char*>(std::memchr(p, '\n', static_cast<std::size_t>(chunk_.end - p)));
      const char* end = newline != nullptr ? newline : chunk_.end;
      row({p, static_cast<std::size_t>(end - p)});
      p = end + 1;
    }
  }

 private:
  void row(std::string_view line) {
    const auto cells = std::count(line.begin(), line.end(), ',') + 1;
    if (cells != width_) {
      const bool blank = trim(line).empty();
      fail(line, blank ? fmt::format("the row is blank; expected {} columns", width_)
                       : fmt::format("{} columns; expected {} as in the first row or the format",
                                     cells, width_));
      return;
    }
    while (chunk_.bad == nullptr) {
      const std::size_t comma = line.find(',');
      cell(trim(line.substr(0, comma)));
      if (comma == std::string_view::npos) break;
      line.remove_prefix(comma + 1);
    }
  }

  void cell(std::string_view text) {
    const char* end = text.data() + text.size();
    std::int64_t integer = 0;
    const auto as_integer = std::from_chars(text.data(), end, integer);
    if (as_integer.ec == std::errc{} && as_integer.ptr == end) return keep(integer);
    if (stands_for_missing(text)) {
      if (rules_.allow_missing) return keep(std::numeric_limits<double>::quiet_NaN());
      return fail(text, fmt::format("{}; expected a {}",
                                    text.empty() ? "an empty cell" : shown(text), wanted()));
    }
    double real = 0;
    const auto as_real = std::from_chars(text.data(), end, real);
    if (as_real.ec != std::errc{} || as_real.ptr != end) {
      return fail(text, fmt::format("'{}' is not a number; expected a {}", shown(text), wanted()));
    }
    if (!std::isfinite(static_cast<float>(real)) || rules_.integers) {
      return fail(text, fmt::format("{}; expected a {}", shown(text), wanted()));
    }
    keep(real);
  }

  const char* wanted() const { return rules_.integers ? "whole number" : "finite number"; }

  void keep(std::int64_t value) {
    if (real_) {
      chunk_.reals.push_back(static_cast<double>(value));
      return;
    }
    chunk_.integers.push_back(value);
    chunk_.low = std::min(chunk_.low, value);
    chunk_.high = std::max(chunk_.high, value);
  }

  void keep(double value) {
    if (!real_) {
      real_ = true;
      chunk_.reals.assign(chunk_.integers.begin(), chunk_.integers.end());
      chunk_.integers = {};
    }
    chunk_.reals.push_back(value);
  }

  void fail(std::string_view where, std::string what) {
    chunk_.bad = where.data();
    chunk_.what = std::move(what);
  }

  Chunk& chunk_;
  const CsvRules& rules_;
  std::int64_t width_;
  bool real_ = false;
};

// Pieces of about kChunk bytes, cut after line ends.
std::vector<Chunk> cut(const Text& text) {
  std::vector<Chunk> chunks;
  for (const char* p = text.begin(); p < text.end();) {
    const char* end = text.end();
    if (static_cast<std::size_t>(end - p) > kChunk) {
      const char* from = p + kChunk;
      const auto* newline =
          static_cast<const char*>(std::memchr(from, '\n', static_cast<std::size_t>(end - from)));
      if (newline != nullptr) end = newline + 1;
    }
    chunks.emplace_back().begin = p;
    chunks.back().end = end;
    p = end;
  }
  return chunks;
}

template <class T>
void fill(const Chunk& chunk, std::int64_t width, T* out) {
  const auto cells = static_cast<std::size_t>(chunk.rows * width);
  out += chunk.first_row * width;
  const auto copy = [&](const auto* from) {
    for (std::size_t i = 0; i < cells; ++i) out[i] = static_cast<T>(from[i]);
  };
  if (chunk.bytes) return copy(chunk.bytes.get());
  if (!chunk.reals.empty()) return copy(chunk.reals.data());
  copy(chunk.integers.data());
}

Column join(const std::vector<Chunk>& chunks, const CsvRules& rules, std::int64_t rows,
            std::int64_t width) {
  std::int64_t low = std::numeric_limits<std::int64_t>::max();
  std::int64_t high = std::numeric_limits<std::int64_t>::min();
  bool real = false;
  for (const Chunk& chunk : chunks) {
    real = real || !chunk.reals.empty();
    low = std::min(low, chunk.low);
    high = std::max(high, chunk.high);
  }
  const DType dtype = real ? DType::kF32 : integer_type(low, high);
  Filling<void> out = make_column(dtype, rules.name, rules.per, rows, width);
  visit(out.column, [&](const auto* typed) {
    using T = std::remove_const_t<std::remove_pointer_t<decltype(typed)>>;
    T* data = static_cast<T*>(out.data);
    tbb::parallel_for(std::size_t{0}, chunks.size(),
                      [&](std::size_t i) { fill(chunks[i], width, data); });
  });
  return out.column;
}

}  // namespace

Column parse_csv(const Text& text, const std::string& path, const CsvRules& rules) {
  std::vector<Chunk> chunks = cut(text);
  std::int64_t width = rules.columns;
  if (width == 0 && text.size() > 0) {
    const std::string_view first = text.view().substr(0, text.view().find('\n'));
    width = std::count(first.begin(), first.end(), ',') + 1;
  }
  tbb::parallel_for(std::size_t{0}, chunks.size(),
                    [&](std::size_t i) { ChunkParser(chunks[i], rules, width).run(); });
  std::int64_t rows = 0;
  for (Chunk& chunk : chunks) {
    if (chunk.bad != nullptr) {
      const auto row = std::count(text.begin(), chunk.bad, '\n') + 1;
      throw base::DataError(fmt::format("{} (row {}): {}{}", path, row, chunk.what,
                                        row == 1 ? " (these files carry no header)" : ""));
    }
    chunk.first_row = rows;
    rows += chunk.rows;
  }
  return join(chunks, rules, rows, width);
}

Column read_csv(const std::filesystem::path& path, const CsvRules& rules) {
  return parse_csv(read_text(path), path.string(), rules);
}

}  // namespace gtrain::data
