// A Boost.Graph view of a Csr, so that every BGL algorithm that asks for a VertexListGraph,
// EdgeListGraph, IncidenceGraph or AdjacencyGraph runs on a gtrain graph. The view owns a transpose
// (rows by source), because BGL walks out-edges and a Csr stores in-edges: O(N + E) once, then no
// copies. Vertex ids are the graph's node ids; an edge's `entry` is its position in the Csr's
// `source`, which is also its boost::edge_index, so weights can be plain arrays.
//
//   BglView            directed: breadth_first_search, dijkstra_shortest_paths, strong_components,
//   … UndirectedBglView  the same graph called undirected, as connected_components or
//                      cuthill_mckee_ordering demand; pass a symmetric graph
#pragma once

#include <boost/graph/graph_traits.hpp>
#include <boost/graph/properties.hpp>
#include <boost/iterator/counting_iterator.hpp>
#include <boost/iterator/iterator_facade.hpp>
#include <boost/property_map/property_map.hpp>
#include <cstddef>
#include <utility>
#include <vector>

#include "gtrain/graph/csr.h"

namespace gtrain::graph {

struct BglEdge {
  Id source = -1;
  Id target = -1;
  Id entry = -1;
  friend bool operator==(const BglEdge& a, const BglEdge& b) { return a.entry == b.entry; }
  friend bool operator<(const BglEdge& a, const BglEdge& b) { return a.entry < b.entry; }
};

template <class Direction>
class BasicBglView {
 public:
  explicit BasicBglView(const Csr& graph) : out_(transpose(graph)), tail_(out_.source.size()) {
    for (Id v = 0; v < out_.nodes(); ++v) {
      for (Id p = first(v); p < first(v + 1); ++p) tail_[static_cast<std::size_t>(p)] = v;
    }
  }

  Id nodes() const { return out_.nodes(); }
  Id edges() const { return out_.edges(); }
  // Positions of the edges that leave v: [first(v), first(v + 1)).
  Id first(Id v) const { return out_.start[static_cast<std::size_t>(v)]; }
  const Id* targets(Id v) const { return out_.source.data() + first(v); }
  BglEdge at(Id position) const {
    const auto p = static_cast<std::size_t>(position);
    return {tail_[p], out_.source[p], out_.edge[p]};
  }

 private:
  Csr out_;  // rows by source; `edge` holds positions in the viewed graph
  std::vector<Id> tail_;
};

using BglView = BasicBglView<boost::directed_tag>;
using UndirectedBglView = BasicBglView<boost::undirected_tag>;

template <class View>
class BglEdgeIterator : public boost::iterator_facade<BglEdgeIterator<View>, BglEdge,
                                                      boost::random_access_traversal_tag, BglEdge> {
 public:
  BglEdgeIterator() = default;
  BglEdgeIterator(const View& view, Id position) : view_(&view), position_(position) {}

 private:
  friend class boost::iterator_core_access;
  BglEdge dereference() const { return view_->at(position_); }
  bool equal(const BglEdgeIterator& other) const { return position_ == other.position_; }
  void increment() { ++position_; }
  void decrement() { --position_; }
  void advance(std::ptrdiff_t n) { position_ += n; }
  std::ptrdiff_t distance_to(const BglEdgeIterator& other) const {
    return other.position_ - position_;
  }

  const View* view_ = nullptr;
  Id position_ = 0;
};

struct BglTraversal : virtual boost::vertex_list_graph_tag,
                      virtual boost::edge_list_graph_tag,
                      virtual boost::incidence_graph_tag,
                      virtual boost::adjacency_graph_tag {};

struct BglEdgeIndex {
  using key_type = BglEdge;
  using value_type = Id;
  using reference = Id;
  using category = boost::readable_property_map_tag;
  friend Id get(const BglEdgeIndex&, const BglEdge& e) { return e.entry; }
  Id operator[](const BglEdge& e) const { return e.entry; }
};

}  // namespace gtrain::graph

namespace boost {

template <class Direction>
struct graph_traits<gtrain::graph::BasicBglView<Direction>> {
  using View = gtrain::graph::BasicBglView<Direction>;
  using vertex_descriptor = gtrain::graph::Id;
  using edge_descriptor = gtrain::graph::BglEdge;
  using directed_category = Direction;
  using edge_parallel_category = allow_parallel_edge_tag;
  using traversal_category = gtrain::graph::BglTraversal;
  using vertex_iterator = counting_iterator<gtrain::graph::Id>;
  using edge_iterator = gtrain::graph::BglEdgeIterator<View>;
  using out_edge_iterator = gtrain::graph::BglEdgeIterator<View>;
  using adjacency_iterator = const gtrain::graph::Id*;
  using vertices_size_type = std::size_t;
  using edges_size_type = std::size_t;
  using degree_size_type = std::size_t;
  static vertex_descriptor null_vertex() { return -1; }
};

template <class Direction>
struct property_map<gtrain::graph::BasicBglView<Direction>, vertex_index_t> {
  using type = typed_identity_property_map<gtrain::graph::Id>;
  using const_type = type;
};
template <class Direction>
struct property_map<gtrain::graph::BasicBglView<Direction>, edge_index_t> {
  using type = gtrain::graph::BglEdgeIndex;
  using const_type = type;
};

}  // namespace boost

namespace gtrain::graph {

template <class D>
using BglTraits = boost::graph_traits<BasicBglView<D>>;

template <class D>
auto vertices(const BasicBglView<D>& g) {
  using It = typename BglTraits<D>::vertex_iterator;
  return std::pair<It, It>(It(0), It(g.nodes()));
}
template <class D>
std::size_t num_vertices(const BasicBglView<D>& g) {
  return static_cast<std::size_t>(g.nodes());
}
template <class D>
auto edges(const BasicBglView<D>& g) {
  using It = typename BglTraits<D>::edge_iterator;
  return std::pair<It, It>(It(g, 0), It(g, g.edges()));
}
template <class D>
std::size_t num_edges(const BasicBglView<D>& g) {
  return static_cast<std::size_t>(g.edges());
}
template <class D>
auto out_edges(Id v, const BasicBglView<D>& g) {
  using It = typename BglTraits<D>::out_edge_iterator;
  return std::pair<It, It>(It(g, g.first(v)), It(g, g.first(v + 1)));
}
template <class D>
std::size_t out_degree(Id v, const BasicBglView<D>& g) {
  return static_cast<std::size_t>(g.first(v + 1) - g.first(v));
}
// For undirected algorithms: every neighbour stands once in the row of v.
template <class D>
std::size_t degree(Id v, const BasicBglView<D>& g) {
  return out_degree(v, g);
}
template <class D>
Id source(const BglEdge& e, const BasicBglView<D>&) {
  return e.source;
}
template <class D>
Id target(const BglEdge& e, const BasicBglView<D>&) {
  return e.target;
}
template <class D>
auto adjacent_vertices(Id v, const BasicBglView<D>& g) {
  return std::pair<const Id*, const Id*>(g.targets(v), g.targets(v + 1));
}
template <class D>
boost::typed_identity_property_map<Id> get(boost::vertex_index_t, const BasicBglView<D>&) {
  return {};
}
template <class D>
BglEdgeIndex get(boost::edge_index_t, const BasicBglView<D>&) {
  return {};
}

}  // namespace gtrain::graph
