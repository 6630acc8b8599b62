// A CSR pattern as dense tiles: 16 rows form a window, the columns that any of them uses are packed
// 32 to a tile in ascending order, and a bit says which pairs exist (the format of Fused3S, Li et
// al. 2025, with one word a row). Worth it where a window's rows share columns, as on reordered
// graphs: fill() says, and useful_block_pattern() decides. Built on the host, once per pattern; the
// transpose is a pattern of its own.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace gtrain::ops::cuda {

struct BlockPattern {
  std::int64_t rows = 0;
  std::vector<std::int64_t> window_start{0};  // [windows+1]: tiles of a window
  std::vector<std::int32_t> column;           // [tiles, 32], -1 behind the last of a window
  std::vector<std::uint32_t> mask;  // [tiles, 16]: bit c: the row has column c of the tile
  std::vector<std::int64_t> entry;  // [tiles, 16]: CSR entry of the row's first bit

  std::int64_t windows() const { return static_cast<std::int64_t>(window_start.size()) - 1; }
  std::int64_t tiles() const { return window_start.back(); }
  // Part of the tiles' places that are pairs.
  double fill(std::int64_t pairs) const {
    return tiles() == 0 ? 0 : static_cast<double>(pairs) / static_cast<double>(tiles() * 512);
  }
};

// Whether the columns of every row ascend strictly; only then a bit is one pair.
inline bool block_pattern_possible(const std::int64_t* start, const std::int32_t* column,
                                   std::int64_t rows) {
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t p = start[row] + 1; p < start[row + 1]; ++p) {
      if (column[p] <= column[p - 1]) return false;
    }
  }
  return true;
}

inline BlockPattern block_pattern(const std::int64_t* start, const std::int32_t* column,
                                  std::int64_t rows) {
  BlockPattern out;
  out.rows = rows;
  std::vector<std::int32_t> used;
  for (std::int64_t first = 0; first < rows; first += 16) {
    const std::int64_t end = std::min<std::int64_t>(first + 16, rows);
    used.assign(column + start[first], column + start[end]);
    std::sort(used.begin(), used.end());
    used.erase(std::unique(used.begin(), used.end()), used.end());
    const std::size_t tile = static_cast<std::size_t>(out.tiles()), tiles = (used.size() + 31) / 32;
    out.window_start.push_back(out.tiles() + static_cast<std::int64_t>(tiles));
    out.column.resize((tile + tiles) * 32, -1);
    out.mask.resize((tile + tiles) * 16, 0);
    out.entry.resize((tile + tiles) * 16, 0);
    std::copy(used.begin(), used.end(),
              out.column.begin() + static_cast<std::ptrdiff_t>(tile * 32));
    for (std::int64_t row = first; row < end; ++row) {
      for (std::int64_t p = start[row]; p < start[row + 1]; ++p) {
        const auto slot = static_cast<std::size_t>(
            std::lower_bound(used.begin(), used.end(), column[p]) - used.begin());
        const std::size_t at = (tile + slot / 32) * 16 + static_cast<std::size_t>(row - first);
        if (out.mask[at] == 0) out.entry[at] = p;
        out.mask[at] |= 1u << (slot % 32);
      }
    }
  }
  return out;
}

// At this fill tiles cost 3.3 times the arithmetic of their pairs, for a fifth of the gathered
// rows.
constexpr double kBlockFill = 0.3;

// No pattern with these row lengths fills more of its tiles: a window has at least the columns of
// its longest row. Rejects sparse patterns without a look at their columns.
inline double block_fill_bound(const std::int64_t* start, std::int64_t rows) {
  std::int64_t tiles = 0;
  for (std::int64_t first = 0; first < rows; first += 16) {
    std::int64_t longest = 0;
    for (std::int64_t row = first; row < std::min<std::int64_t>(first + 16, rows); ++row) {
      longest = std::max(longest, start[row + 1] - start[row]);
    }
    tiles += (longest + 31) / 32;
  }
  return tiles == 0 ? 0 : static_cast<double>(start[rows]) / static_cast<double>(tiles * 512);
}

// The pattern as tiles where that is possible and they are filled to kBlockFill, else nothing.
inline std::optional<BlockPattern> useful_block_pattern(const std::int64_t* start,
                                                        const std::int32_t* column,
                                                        std::int64_t rows) {
  if (block_fill_bound(start, rows) < kBlockFill) return std::nullopt;
  if (!block_pattern_possible(start, column, rows)) return std::nullopt;
  BlockPattern blocks = block_pattern(start, column, rows);
  if (blocks.fill(start[rows]) < kBlockFill) return std::nullopt;
  return blocks;
}

}  // namespace gtrain::ops::cuda
