#include "quad.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "unit.h"

namespace gtrain::sparsify::detail {
namespace {

using Quad = std::array<std::size_t, 4>;

// Places of quad q, by falling magnitude, ties by index.
Quad ranked(const std::vector<double>& magnitude, std::size_t q) {
  Quad out{4 * q, 4 * q + 1, 4 * q + 2, 4 * q + 3};
  std::stable_sort(out.begin(), out.end(),
                   [&](std::size_t a, std::size_t b) { return magnitude[a] > magnitude[b]; });
  return out;
}

bool halved(const std::vector<bool>& lives, std::size_t q) {
  return std::count(lives.begin() + static_cast<std::ptrdiff_t>(4 * q),
                    lives.begin() + static_cast<std::ptrdiff_t>(4 * q + 4), true) == 2;
}

}  // namespace

void halve_quads(Masked& weight, double density) {
  const std::vector<double> magnitude = magnitudes(weight.value);
  std::vector<bool> lives = read_mask(weight.mask);
  const std::size_t quads = lives.size() / 4;
  const auto wanted =
      std::min<std::int64_t>(std::llround(2 * (1 - density) * static_cast<double>(quads)),
                             static_cast<std::int64_t>(quads));
  std::vector<std::pair<double, std::size_t>> whole;  // what it would lose, quad
  for (std::size_t q = 0; q < quads; ++q) {
    if (halved(lives, q)) continue;
    const Quad order = ranked(magnitude, q);
    whole.emplace_back(std::hypot(magnitude[order[2]], magnitude[order[3]]), q);
  }
  std::sort(whole.begin(), whole.end());
  const auto done = static_cast<std::int64_t>(quads - whole.size());
  for (std::int64_t i = 0; i < wanted - done; ++i) {
    const Quad order = ranked(magnitude, whole[static_cast<std::size_t>(i)].second);
    lives[order[2]] = lives[order[3]] = false;
  }
  write_mask(weight.mask, lives);
}

void exchange_in_quads(Masked& weight, double share, const at::Tensor& gradient) {
  if (!gradient.defined()) return;
  const std::vector<double> magnitude = magnitudes(weight.value), growth = magnitudes(gradient);
  std::vector<bool> lives = read_mask(weight.mask);
  std::vector<std::pair<double, std::size_t>> weakest;  // its magnitude, place
  for (std::size_t q = 0; q < lives.size() / 4; ++q) {
    if (!halved(lives, q)) continue;
    const Quad order = ranked(magnitude, q);
    const auto last =
        std::find_if(order.rbegin(), order.rend(), [&](std::size_t i) { return lives[i]; });
    weakest.emplace_back(magnitude[*last], *last);
  }
  std::sort(weakest.begin(), weakest.end());
  const auto count = std::llround(std::ceil(share * static_cast<double>(weakest.size())));
  for (std::int64_t i = 0; i < count; ++i) {
    const std::size_t place = weakest[static_cast<std::size_t>(i)].second, q = place / 4;
    std::size_t born = place;
    for (std::size_t k = 4 * q; k < 4 * q + 4; ++k) {
      if (!lives[k] && growth[k] > growth[born]) born = k;
    }
    lives[place] = false;
    lives[born] = true;
  }
  write_mask(weight.mask, lives);
}

}  // namespace gtrain::sparsify::detail
