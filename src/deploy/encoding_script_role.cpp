#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

#include "detail/encoding_text.h"

namespace gtrain::deploy::detail {
namespace {

// A row per node: own colour, the neighbours' ascending, -1 after the last, so that the order of
// rows is that of lists. `ranked` numbers the distinct rows of each graph in that order.
constexpr const char* kRoles = R"(
def ranked(self, rows: Tensor, batch: Tensor) -> Tensor:
    table = torch.cat([batch.unsqueeze(1), rows], 1)
    place = torch.unique_dim(table, 0, True, True, False)[1]
    graphs = int(batch[batch.size(0) - 1]) + 1
    least = torch.full([graphs], place.size(0), dtype=4, device=batch.device)
    least.scatter_reduce_(0, batch, place, "amin")
    return place - least.index_select(0, batch)
def weisfeiler_lehman(self, edge_index: Tensor, batch: Tensor) -> Tensor:
    nodes = batch.size(0)
    colour = torch.zeros_like(batch)
    if nodes == 0:
        return colour.unsqueeze(1)
    pair = torch.cat([edge_index[0] * nodes + edge_index[1], edge_index[1] * nodes + edge_index[0]])
    pair = torch._unique2(pair, True, False, False)[0]
    i = torch.div(pair, nodes, rounding_mode="floor")
    j = pair - i * nodes
    degree = torch.bincount(i, minlength=nodes)
    width = int(degree.max()) + 1
    assert nodes * width <= {cells}, "batch: has {{}} nodes and one of them {{}} neighbours; roles inside this module take at most {cells} as a product; use smaller batches or export with --encodings input".format(nodes, width - 1)
    first = (torch.cumsum(degree, 0) - degree).index_select(0, i)
    place = i * width + 1 + torch.arange(i.size(0), device=batch.device) - first
    for r in range({rounds}):
        key = torch.sort(i * nodes + colour.index_select(0, j))[0]
        rows = torch.full([nodes * width], -1, dtype=4, device=batch.device)
        rows.index_copy_(0, place, key - i * nodes)
        rows = rows.reshape(nodes, width)
        rows[:, 0] = colour
{hash}        colour = self.ranked(rows, batch)
    return colour.unsqueeze(1)
)";

constexpr const char* kHash =
    R"(        distinct = torch.unique_dim(rows, 0, True, True, False)
        rows = self.md5(self.texts(distinct[0])).index_select(0, distinct[1])
)";

// Bytes of "own_n1_n2_…", colours from 1 and the neighbours' sorted as text, with MD5's padding.
constexpr const char* kTexts = R"(
def texts(self, rows: Tensor) -> List[List[int]]:
    out: List[List[int]] = []
    for r in range(rows.size(0)):
        row: List[int] = rows[r].tolist()
        parts: List[str] = []
        for c in row[1:]:
            if c >= 0:
                parts.append(str(c + 1))
        text = "_".join([str(row[0] + 1)] + sorted(parts))
        code: List[int] = []
        for k in range(len(text)):
            code.append(ord(text[k]))
        bits = 8 * len(code)
        code.append(128)
        while len(code) % 64 != 56:
            code.append(0)
        for k in range(8):
            code.append((bits >> (8 * k)) & 255)
        out.append(code)
    return out
)";

// RFC 1321, all texts side by side; four words of each, ordered as its hexadecimal digits are.
constexpr const char* kMd5 = R"(
def md5(self, texts: List[List[int]]) -> Tensor:
    longest = 0
    for text in texts:
        longest = max(longest, len(text))
    size = torch.tensor([len(text) for text in texts])
    bytes = torch.tensor([text + [0] * (longest - len(text)) for text in texts])
    bytes = bytes.reshape(len(texts), -1, 16, 4)
    words = bytes[:, :, :, 0] + bytes[:, :, :, 1] * 256 + bytes[:, :, :, 2] * 65536 + bytes[:, :, :, 3] * 16777216
    turn = [{turn}]
    constant = [{constant}]
    mask = 4294967295
    state = torch.tensor([{state}]).unsqueeze(0).expand(len(texts), -1)
    for block in range(words.size(1)):
        a = state[:, 0]
        b = state[:, 1]
        c = state[:, 2]
        d = state[:, 3]
        for k in range(64):
            if k < 16:
                mixed = (b & c) | ((mask - b) & d)
                place = k
            elif k < 32:
                mixed = (d & b) | ((mask - d) & c)
                place = (5 * k + 1) % 16
            elif k < 48:
                mixed = b ^ c ^ d
                place = (3 * k + 5) % 16
            else:
                mixed = c ^ (b | (mask - d))
                place = (7 * k) % 16
            sum = (a + mixed + words[:, block, place] + constant[k]) & mask
            left = turn[4 * (k // 16) + k % 4]
            power = 1 << left
            sum = (sum * power) % 4294967296 + torch.div(sum, 1 << (32 - left), rounding_mode="floor")
            a = d
            d = c
            c = b
            b = (b + sum) & mask
        moved = (state + torch.stack([a, b, c, d], 1)) & mask
        state = torch.where((size > 64 * block).unsqueeze(1), moved, state)
    b0 = state & 255
    b1 = torch.div(state, 256, rounding_mode="floor") & 255
    b2 = torch.div(state, 65536, rounding_mode="floor") & 255
    b3 = torch.div(state, 16777216, rounding_mode="floor")
    return b0 * 16777216 + b1 * 65536 + b2 * 256 + b3
)";

std::string md5_method() {
  constexpr std::array<int, 16> kTurn{7, 12, 17, 22, 5, 9, 14, 20, 4, 11, 16, 23, 6, 10, 15, 21};
  constexpr std::array<std::uint32_t, 4> kState{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
  std::vector<std::uint32_t> constant;
  for (int i = 0; i < 64; ++i) {
    constant.push_back(
        static_cast<std::uint32_t>(std::floor(std::fabs(std::sin(i + 1.0)) * 0x1p32)));
  }
  return fmt::format(kMd5, fmt::arg("turn", fmt::format("{}", fmt::join(kTurn, ", "))),
                     fmt::arg("constant", fmt::format("{}", fmt::join(constant, ", "))),
                     fmt::arg("state", fmt::format("{}", fmt::join(kState, ", "))));
}

// Numbers in a table of neighbours' colours: 512 MiB.
constexpr std::int64_t kCells = std::int64_t{1} << 26;

}  // namespace

EncodingText text_of(const encode::WeisfeilerLehmanOptions& options) {
  const bool hashed = !options.quirks.empty();  // md5_rank
  EncodingText text;
  if (hashed) text.methods = {kTexts, md5_method()};
  text.methods.push_back(fmt::format(kRoles, fmt::arg("rounds", options.rounds),
                                     fmt::arg("cells", kCells),
                                     fmt::arg("hash", hashed ? kHash : "")));
  text.before = "    weisfeiler_lehman = self.weisfeiler_lehman(edge_index, batch)\n";
  return text;
}

}  // namespace gtrain::deploy::detail
