#include "gtrain/encode/catalog.h"

#include "gtrain/encode/encoding.h"

namespace gtrain::encode {
namespace {

template <class Options>
constexpr EncodingEntry entry(std::string_view columns) {
  return {Options::kName, Options::kDoc, columns};
}

}  // namespace

const std::vector<EncodingEntry>& catalog() {
  static const std::vector<EncodingEntry> table{
      entry<RandomWalkOptions>("random_walk float [N, steps]"),
      entry<LaplacianOptions>("laplacian.values, laplacian.vectors float [N, count]"),
      entry<DegreeOptions>("degree int [N, 2]"),
      entry<HopDistanceOptions>("hop_distance uint8, one per ordered pair of nodes of a graph"),
      entry<ShortestPathOptions>("shortest_path int, one per ordered pair of nodes of a graph"),
      entry<HeatKernelOptions>("heat_kernel float [N, times]"),
      entry<ElectrostaticOptions>("electrostatic float [N, 10]"),
      entry<WeisfeilerLehmanOptions>("weisfeiler_lehman int [N, 1]"),
  };
  return table;
}

}  // namespace gtrain::encode
