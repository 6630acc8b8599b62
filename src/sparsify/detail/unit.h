// The units of one group of sparsify/weight_mask.h: their magnitudes, and which of them live.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "gtrain/sparsify/weight_mask.h"

namespace gtrain::sparsify::detail {

std::int64_t unit_count(const WeightMask::Group& group, const WeightRule& rule);

class Units {
 public:
  Units(const WeightMask::Group& group, const WeightRule& rule);

  std::int64_t size() const { return static_cast<std::int64_t>(lives_.size()); }
  std::vector<std::int64_t> living() const;  // ascending
  std::vector<std::int64_t> dead() const;
  void set_living(const std::vector<std::int64_t>& units);
  void write(WeightMask::Group& group) const;

  // 2-norm over a unit's entries of what `tensor` gives for each part; undefined counts as 0.
  std::vector<double> norms(const WeightMask::Group& group,
                            const std::function<at::Tensor(const Masked&)>& tensor) const;

  std::vector<double> score;  // magnitudes of the values

 private:
  bool neuron_;
  std::vector<bool> lives_;
};

// The `count` strongest living units of all groups live on, and of each group the strongest.
void keep_strongest_of_all(std::vector<Units>& groups, std::int64_t count);

std::vector<double> magnitudes(const at::Tensor& t);  // row-major
std::vector<bool> read_mask(const at::Tensor& mask);
void write_mask(at::Tensor& mask, const std::vector<bool>& lives);

}  // namespace gtrain::sparsify::detail
