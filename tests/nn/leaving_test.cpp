#include "gtrain/nn/leaving.h"

#include "support/layer_case.h"

namespace gtrain {
namespace {

at::Tensor longs(std::vector<std::int64_t> v) { return at::tensor(v, at::kLong); }

nn::KeptRows kept_rows(const at::Tensor& rows, std::int64_t of) {
  return {.rows = ops::row_index(rows, of), .graph_start = longs({0, rows.size(0)})};
}

// Keeps what it is told, one list a call.
class Told final : public nn::TokenGate {
 public:
  explicit Told(std::vector<std::vector<std::int64_t>> lists) : lists_(std::move(lists)) {}
  std::optional<nn::KeptRows> choose(const nn::Candidates& rows, nn::Context&) override {
    whole = rows.whole_start;
    if (next_ == lists_.size()) return std::nullopt;
    return kept_rows(longs(lists_[next_++]), rows.input.x.size(0));
  }
  at::Tensor whole;

 private:
  std::vector<std::vector<std::int64_t>> lists_;
  std::size_t next_ = 0;
};

// Each boundary adds 10 to the rows that go on.
at::Tensor walk(nn::TokenGate& gate, const at::Tensor& x, int layers) {
  nn::Context context = support::context(false);
  nn::Leaving leaving(longs({0, x.size(0)}));
  nn::GlobalInput rows{.x = x, .graph_start = leaving.whole_start()};
  for (int l = 0; l < layers; ++l) {
    if (const auto kept = leaving.choose(gate, rows, rows.x, context)) {
      rows = nn::restricted(rows, *kept);
    }
    rows.x = rows.x + 10;
  }
  return leaving.all(rows.x);
}

TEST(Leaving, WhoLeftHasItsLastStateInItsOldPlace) {
  Told gate({{0, 2, 3, 5}, {1, 2}});  // rows 2 and 3 of six stay to the end
  const at::Tensor x = at::arange(6, at::kDouble).view({6, 1});
  const at::Tensor want = at::tensor({10.0, 1.0, 22.0, 23.0, 4.0, 15.0}, at::kDouble).view({6, 1});
  EXPECT_TRUE(at::equal(walk(gate, x, 2), want));
  EXPECT_TRUE(at::equal(gate.whole, longs({0, 6})));
}

TEST(Leaving, NobodyWhoLeavesChangesNothing) {
  Told nobody({}), all({{0, 1, 2}, {0, 1, 2}});
  const at::Tensor x = at::randn({3, 4}, at::kDouble);
  EXPECT_TRUE(support::same_bits(walk(nobody, x, 2), x + 10 + 10));
  EXPECT_TRUE(support::same_bits(walk(all, x, 2), x + 10 + 10));
}

TEST(Leaving, EveryRowHasAGradient) {
  Told gate({{0, 2, 3, 5}, {1, 2}});
  const at::Tensor x = at::randn({6, 2}, at::kDouble).requires_grad_();
  const at::Tensor weight = at::randn({6, 2}, at::kDouble);
  (walk(gate, x, 2) * weight).sum().backward();
  EXPECT_TRUE(at::equal(x.grad(), weight));
}

TEST(Leaving, EdgesAreThoseBetweenRowsThatStay) {
  for (std::uint64_t seed = 1; seed < 6; ++seed) {
    const support::EdgeBatch batch = support::pack({support::random_arcs(seed, 12, 40)});
    const at::Tensor rows = at::nonzero(at::arange(12).remainder(3) != 0).view(-1);
    const nn::KeptRows kept = kept_rows(rows, 12);
    const nn::KeptEdges got = nn::restricted(batch.edges, kept);
    const at::Tensor stays = at::zeros({12}, at::kBool).index_fill(0, rows, true);
    const at::Tensor which = at::nonzero(stays.index_select(0, batch.edges.source) &
                                         stays.index_select(0, batch.edges.target))
                                 .view(-1);
    EXPECT_TRUE(at::equal(got.which.index, which));
    const nn::Edges& e = got.edges;
    EXPECT_TRUE(
        at::equal(rows.index_select(0, e.source), batch.edges.source.index_select(0, which)));
    EXPECT_TRUE(
        at::equal(rows.index_select(0, e.target), batch.edges.target.index_select(0, which)));
    EXPECT_TRUE(at::equal(e.in_start.diff(), at::bincount(e.target, {}, 8)));
    EXPECT_TRUE(at::equal(e.out_start.diff(), at::bincount(e.source, {}, 8)));
    // By source, then by target.
    const at::Tensor key = e.source * 8 + e.target;
    const at::Tensor sorted = key.index_select(0, e.out_edge);
    EXPECT_TRUE(at::equal(sorted, std::get<0>(key.sort())));
  }
}

TEST(Leaving, LayersWithoutAChoiceAreTheirOwnText) {
  nn::LeavingScript layers{.steps = {{"", "    h = self.a.forward(h)\n"}, {"", "    h = h\n"}}};
  EXPECT_EQ(layers.statements(), "    h = self.a.forward(h)\n    h = h\n");
  EXPECT_EQ(layers.methods(), "");
  layers.steps[1].choice = "self.a.leaving(h, h, groups, sizes, none)";
  EXPECT_NE(layers.methods(), "");
  const std::string text = layers.statements();
  EXPECT_LT(text.find("self.a.forward"), text.find("self.a.leaving"));
  EXPECT_EQ(text.find("kept_edges"), std::string::npos);
  layers.edges = true;
  EXPECT_NE(layers.statements().find("kept_edges"), std::string::npos);
}

}  // namespace
}  // namespace gtrain
