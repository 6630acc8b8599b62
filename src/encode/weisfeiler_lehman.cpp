#include "gtrain/encode/weisfeiler_lehman.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <map>
#include <string>
#include <vector>

namespace gtrain::encode {
namespace {

using Words = std::array<std::uint32_t, 4>;

// One 512-bit block of MD5 (RFC 1321).
void digest_block(const unsigned char* block, Words& state) {
  static constexpr std::array<int, 16> kTurn{7, 12, 17, 22, 5, 9,  14, 20,
                                             4, 11, 16, 23, 6, 10, 15, 21};
  auto [a, b, c, d] = state;
  for (std::uint32_t i = 0; i < 64; ++i) {
    const std::uint32_t round = i / 16;
    const std::uint32_t mixed = round == 0   ? (b & c) | (~b & d)
                                : round == 1 ? (d & b) | (~d & c)
                                : round == 2 ? b ^ c ^ d
                                             : c ^ (b | ~d);
    const std::uint32_t place = round == 0   ? i
                                : round == 1 ? (5 * i + 1) % 16
                                : round == 2 ? (3 * i + 5) % 16
                                             : 7 * i % 16;
    std::uint32_t word = 0;
    for (std::uint32_t k = 0; k < 4; ++k) {
      word |= static_cast<std::uint32_t>(block[4 * place + k]) << (8 * k);
    }
    const auto constant =
        static_cast<std::uint32_t>(std::floor(std::fabs(std::sin(i + 1.0)) * 0x1p32));
    const std::uint32_t next = b + std::rotl(a + mixed + word + constant, kTurn[4 * round + i % 4]);
    a = d;
    d = c;
    c = b;
    b = next;
  }
  state = {state[0] + a, state[1] + b, state[2] + c, state[3] + d};
}

// The 16 bytes, whose order is that of the hexadecimal digits.
std::string md5(std::string text) {
  const std::uint64_t bits = 8 * static_cast<std::uint64_t>(text.size());
  text += '\x80';
  while (text.size() % 64 != 56) text += '\0';
  for (int k = 0; k < 8; ++k) text += static_cast<char>(bits >> (8 * k));
  Words state{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
  for (std::size_t at = 0; at < text.size(); at += 64) {
    digest_block(reinterpret_cast<const unsigned char*>(text.data()) + at, state);
  }
  std::string out;
  for (const std::uint32_t word : state) {
    for (int k = 0; k < 4; ++k) out += static_cast<char>(word >> (8 * k));
  }
  return out;
}

using Colours = std::vector<std::int32_t>;

std::vector<Colours> neighbours_of(const LocalGraph& graph) {
  std::vector<Colours> out(static_cast<std::size_t>(graph.nodes()));
  for (std::int32_t i = 0; i < graph.nodes(); ++i) {
    for (const std::int32_t j : graph.row(i)) {
      out[static_cast<std::size_t>(i)].push_back(j);
      out[static_cast<std::size_t>(j)].push_back(i);
    }
  }
  for (Colours& list : out) {
    std::sort(list.begin(), list.end());
    list.erase(std::unique(list.begin(), list.end()), list.end());
  }
  return out;
}

// Own colour first, then the neighbours' ascending.
Colours signature(std::int32_t own, const Colours& neighbours,
                  std::span<const std::int32_t> colour) {
  Colours out{own};
  for (const std::int32_t j : neighbours) out.push_back(colour[static_cast<std::size_t>(j)]);
  std::sort(out.begin() + 1, out.end());
  return out;
}

std::string hashed(const Colours& signature) {
  std::vector<std::string> parts;
  for (const std::int32_t c : signature) parts.push_back(std::to_string(c + 1));
  std::sort(parts.begin() + 1, parts.end());
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : "_") + part;
  return md5(std::move(text));
}

template <class Key>
void rank(const std::vector<Key>& keys, std::span<std::int32_t> out) {
  std::map<Key, std::int32_t> order;
  for (const Key& key : keys) order.emplace(key, 0);
  std::int32_t next = 0;
  for (auto& [key, place] : order) place = next++;
  for (std::size_t i = 0; i < keys.size(); ++i) out[i] = order.at(keys[i]);
}

}  // namespace

void weisfeiler_lehman(const LocalGraph& graph, const WeisfeilerLehmanOptions& options,
                       std::span<std::int32_t> out) {
  const std::vector<Colours> neighbours = neighbours_of(graph);
  std::fill(out.begin(), out.end(), 0);
  for (std::int64_t round = 0; round < options.rounds; ++round) {
    std::vector<Colours> signatures;
    for (std::size_t i = 0; i < neighbours.size(); ++i) {
      signatures.push_back(signature(out[i], neighbours[i], out));
    }
    if (options.quirks.empty()) {
      rank(signatures, out);
      continue;
    }
    std::vector<std::string> hashes;
    for (const Colours& s : signatures) hashes.push_back(hashed(s));
    rank(hashes, out);
  }
}

}  // namespace gtrain::encode
