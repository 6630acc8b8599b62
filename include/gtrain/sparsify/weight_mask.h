// Masks on weights: which of them exist, and how that changes. A weight that does not is 0, gets no
// gradient and has no optimizer state; the owner (sparsify/sparsity.h) sees to that by `masked`.
//
// Units are what lives or dies together: a weight (structure none and 2:4), or a hidden unit of a
// feed-forward block with its row and bias in feed_0 and its column in feed_1 (neuron), measured by
// the 2-norm of all of them. Of n units max(1, round(density n)) live. In 2:4 any four neighbours
// of a row keep four or two; those that lose least halve first.
//   prune      the living with the smallest magnitude die                  (GMP, Zhu & Gupta 2017)
//   exchange   of the living the smallest die, and of all that are dead then as many live: by the
//              largest gradient (RigL, Evci et al. 2020; GraNet, Liu et al. 2021), or at random
//              (SET, Mocanu et al. 2018). What was dead before begins at 0; what has just died may
//              be among them and keeps its value.
// Ties go to the lower index. O(n log n) for a change.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "gtrain/sparsify/rule.h"

namespace gtrain::sparsify {

struct Masked {
  std::string name;  // of the parameter
  at::Tensor value;  // the parameter
  at::Tensor mask;   // of its shape and type: 1 or 0
};

class WeightMask {
 public:
  // One group: parameters whose units are ranked together. One weight [O, I] for none and 2:4;
  // feed_0.weight [U, I], feed_0.bias [U] (may be undefined) and feed_1.weight [O, U] for neuron.
  struct Group {
    std::string name;
    std::vector<Masked> parts;
  };
  // The gradient of a parameter; undefined: 0.
  using Gradient = std::function<at::Tensor(const std::string& parameter)>;

  WeightMask(const WeightRule& rule, std::vector<Group> groups);

  // A random choice of units (SET and RigL), a function of `key`.
  void draw(double density, std::uint64_t key);
  void prune(double density);
  // share: of the living of each group, rounded up.
  void exchange(double share, const Gradient& gradient, std::uint64_t key);

  // The authors' forms (quirks: reference).
  void prune_as_reference(double density);
  void exchange_as_reference(double share, const Gradient& gradient);

  void apply();  // values of what is dead become 0

  std::vector<Group>& groups() { return groups_; }
  const std::vector<Group>& groups() const { return groups_; }
  double density() const;  // living units of all groups

 private:
  std::vector<std::int64_t> counts(double density) const;  // per group
  bool pairs() const { return rule_.structure == "2:4"; }
  WeightRule rule_;
  std::vector<Group> groups_;
};

// Density of each matrix [rows, columns] so that together they keep `density` of all weights, in
// proportion to (rows + columns) / (rows · columns), none above 1 (Erdos-Renyi kernel).
std::vector<double> erk_densities(const std::vector<std::pair<std::int64_t, std::int64_t>>& shapes,
                                  double density);

}  // namespace gtrain::sparsify
