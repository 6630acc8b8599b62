// Synthetic data sets with published parameters, written as OGB-style folders with a card. The same
// seed gives the same bytes.
//
//   sbm_pattern  PATTERN (Dwivedi et al. 2020): five communities of 5 to 34 nodes, p = 0.5 within,
//                q = 0.35 between; a pattern of 5 to 34 nodes joined to each node with 0.5 is to be
//                found. One of three values a node. 100 patterns.
//   sbm_cluster  CLUSTER: six communities of 5 to 34 nodes, p = 0.55, q = 0.25; one node of each is
//                marked, all are to be assigned.
//   csl          CSL (Murphy et al. 2019): 41 nodes in a cycle with skip links of 2, 3, 4, 5, 6, 9,
//                11, 12, 13 or 16, relabelled at random; the skip is the class; five folds.
//   molecules    random trees of degree at most 4 with some rings closed, nine atom and three bond
//                columns inside OGB's tables; the target is a function of rings and degrees.
//   contacts     chains of up to 32 nodes folded at random on a cubic lattice, relabelled; a node
//                says how many others it touches, and the touching pairs (not neighbours in the
//                chain) are listed as positives: link prediction in the form of PCQM-Contact.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace gtrain::data {

struct GenerateOptions {
  std::int64_t graphs = 0;  // 0: the published number (csl: rounded up to full classes)
  std::uint64_t seed = 0;
};

std::vector<std::string_view> generators();

// Throws base::RecipeError for an unknown name, base::ResourceError when it cannot write. A folder
// that exists already is refused rather than mixed with.
void generate(const std::string& name, const GenerateOptions& options,
              const std::filesystem::path& out);

}  // namespace gtrain::data
