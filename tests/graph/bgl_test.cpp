#include "gtrain/graph/bgl.h"

#include <gtest/gtest.h>

#include <boost/concept/assert.hpp>
#include <boost/graph/breadth_first_search.hpp>
#include <boost/graph/connected_components.hpp>
#include <boost/graph/dijkstra_shortest_paths.hpp>
#include <boost/graph/graph_concepts.hpp>
#include <boost/graph/strong_components.hpp>
#include <limits>

#include "gtrain/graph/component.h"
#include "gtrain/graph/hop_distance.h"
#include "support/odd_graph.h"

namespace gtrain::graph {
namespace {

BOOST_CONCEPT_ASSERT((boost::VertexListGraphConcept<BglView>));
BOOST_CONCEPT_ASSERT((boost::EdgeListGraphConcept<BglView>));
BOOST_CONCEPT_ASSERT((boost::IncidenceGraphConcept<BglView>));
BOOST_CONCEPT_ASSERT((boost::AdjacencyGraphConcept<BglView>));
BOOST_CONCEPT_ASSERT((boost::IncidenceGraphConcept<UndirectedBglView>));

using support::OddGraph;

Csr build(const OddGraph& g) { return graph::build(g.nodes, g.source, g.target); }

TEST(BglView, BreadthFirstSearchFindsOurHopDistances) {
  for (const OddGraph& g : support::odd_graphs()) {
    if (g.nodes == 0) continue;
    SCOPED_TRACE(g.name);
    const Csr csr = build(g);
    const BglView view(csr);
    std::vector<Id> hops(static_cast<std::size_t>(g.nodes), 0);
    std::vector<Id> expected = hops_from(csr, 0);
    for (Id& h : expected) h = std::max<Id>(h, 0);
    boost::breadth_first_search(view, Id{0},
                                boost::visitor(boost::make_bfs_visitor(
                                    boost::record_distances(hops.data(), boost::on_tree_edge()))));
    EXPECT_EQ(hops, expected);
  }
}

TEST(BglView, ConnectedComponentsAgreeWithOurs) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const Csr csr = symmetrise(build(support::random_arcs(seed, 40, 30)));
    const UndirectedBglView view(csr);
    std::vector<Id> label(40);
    const Id count = boost::connected_components(view, label.data());
    const Components ours = components(csr);
    EXPECT_EQ(count, ours.count);
    EXPECT_EQ(label, ours.label);
  }
}

TEST(BglView, DijkstraReadsWeightsByEntry) {
  const std::vector<Id> source{0, 0, 1, 2};
  const std::vector<Id> target{1, 2, 3, 3};
  const std::vector<double> given{1.0, 5.0, 10.0, 2.0};
  const Csr csr = graph::build(4, source, target);
  std::vector<double> weight(4);
  for (std::size_t e = 0; e < 4; ++e) weight[e] = given[static_cast<std::size_t>(csr.edge[e])];
  const BglView view(csr);
  std::vector<double> length(4);
  boost::dijkstra_shortest_paths(
      view, Id{0},
      boost::weight_map(
          boost::make_iterator_property_map(weight.begin(), get(boost::edge_index, view)))
          .distance_map(
              boost::make_iterator_property_map(length.begin(), get(boost::vertex_index, view))));
  EXPECT_EQ(length, (std::vector<double>{0.0, 1.0, 5.0, 7.0}));
}

TEST(BglView, StrongComponentsSeeDirection) {
  std::vector<Id> label(4);
  const Csr path = build(support::directed_path(4));
  EXPECT_EQ(boost::strong_components(BglView(path), label.data()), 4);
  const Csr ring = build(support::cycle(4));
  EXPECT_EQ(boost::strong_components(BglView(ring), label.data()), 1);
}

TEST(BglView, ListsEveryEdgeWithItsEntry) {
  const Csr csr = build(support::random_arcs(5, 9, 25));
  const BglView view(csr);
  EXPECT_EQ(num_vertices(view), 9U);
  EXPECT_EQ(num_edges(view), 25U);
  std::vector<bool> seen(25, false);
  for (auto [e, end] = edges(view); e != end; ++e) {
    const auto entry = static_cast<std::size_t>((*e).entry);
    EXPECT_EQ(csr.source[entry], source(*e, view));
    EXPECT_LE(csr.start[static_cast<std::size_t>(target(*e, view))], (*e).entry);
    EXPECT_GT(csr.start[static_cast<std::size_t>(target(*e, view)) + 1], (*e).entry);
    EXPECT_FALSE(seen[entry]);
    seen[entry] = true;
  }
}

}  // namespace
}  // namespace gtrain::graph
