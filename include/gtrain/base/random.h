// Counter-based randomness: a draw is a pure function of a key and a counter, so nothing hidden has
// to be saved, a resumed run repeats the same draws, and threads cannot change them. Keys come from
// (seed, purpose, epoch, step, …) through `key`; draws are SplitMix64 (Steele et al. 2014).
#pragma once

#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

namespace gtrain::base {

// What a stream of draws is for; part of its key, so that streams never coincide.
enum class Purpose : std::uint64_t {
  kInit = 1,
  kShuffle = 2,
  kDropout = 3,
  kSignFlip = 4,
  kGenerate = 5,
};

constexpr std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

// Key of one stream: key(seed, Purpose::kShuffle, epoch).
template <class... Parts>
constexpr std::uint64_t key(std::uint64_t seed, Purpose purpose, Parts... parts) {
  std::uint64_t k = mix(mix(seed) ^ static_cast<std::uint64_t>(purpose));
  ((k = mix(k ^ static_cast<std::uint64_t>(parts))), ...);
  return k;
}

class Random {
 public:
  explicit Random(std::uint64_t stream_key) : key_(stream_key) {}

  std::uint64_t bits() { return mix(key_ + 0x9e3779b97f4a7c15ULL * counter_++); }
  // Uniform in [0, 1) with 53 bits.
  double uniform() { return static_cast<double>(bits() >> 11) * 0x1.0p-53; }
  // Uniform in [0, n) without modulo bias; n >= 1.
  std::uint64_t below(std::uint64_t n) {
    const std::uint64_t limit = ~std::uint64_t{0} - ~std::uint64_t{0} % n;
    std::uint64_t b = bits();
    while (b >= limit) b = bits();
    return b % n;
  }
  // Fisher–Yates permutation of 0..n-1.
  std::vector<std::int64_t> permutation(std::int64_t n) {
    std::vector<std::int64_t> p(static_cast<std::size_t>(n));
    std::iota(p.begin(), p.end(), std::int64_t{0});
    for (std::size_t i = p.size(); i > 1; --i) std::swap(p[i - 1], p[below(i)]);
    return p;
  }

 private:
  std::uint64_t key_;
  std::uint64_t counter_ = 0;
};

}  // namespace gtrain::base
