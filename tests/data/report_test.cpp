#include "gtrain/data/report.h"

#include <gmock/gmock.h>

#include "data/environment.h"
#include "data/sample.h"
#include "gtrain/base/durable.h"
#include "gtrain/base/log.h"
#include "gtrain/data/store.h"

namespace gtrain::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

TEST(Statistics, OfTheSample) {
  const Statistics s = statistics(sample_dataset());
  EXPECT_EQ(s.graphs, 3);
  EXPECT_EQ(s.nodes, 6);
  EXPECT_EQ(s.edges, 8);
  EXPECT_EQ(s.bonds, 4);
  EXPECT_EQ(s.isolated_nodes, 1);
  EXPECT_EQ(s.edgeless_graphs, 1);
  EXPECT_EQ(s.empty_graphs, 0);
  EXPECT_EQ(s.nodes_per_graph.max, 3);
  EXPECT_DOUBLE_EQ(s.bonds_per_graph.mean, 4.0 / 3);
  EXPECT_THAT(s.size_histogram, ElementsAre(Pair(1, 1), Pair(2, 1), Pair(4, 1)));
  EXPECT_THAT(s.degree_histogram, ElementsAre(Pair(0, 1), Pair(1, 2), Pair(2, 3)));
  ASSERT_EQ(s.labels.size(), 2U);
  EXPECT_EQ(s.labels[0].present, 2);
  EXPECT_EQ(s.labels[0].missing, 1);
  EXPECT_DOUBLE_EQ(s.labels[0].mean, -0.5);
  EXPECT_DOUBLE_EQ(s.labels[0].deviation, 1.0);
}

class Report : public testing::Test {
 protected:
  Report() {
    base::set_quiet(true);
    write_sample(directory_.path() / "set");
    options_.path = (directory_.path() / "set").string();
    options_.task = "graph_regression";
    options_.metric = "mae";
    options_.add_inverse_edge = true;
  }
  ~Report() override { base::set_quiet(false); }

  test::TemporaryDirectory directory_;
  Environment cache_{"GTRAIN_CACHE", (directory_.path() / "cache").string()};
  DatasetOptions options_;
};

TEST_F(Report, InfoNamesColumnsSplitsAndStore) {
  const std::string text = describe_info(options_);
  EXPECT_THAT(text, HasSubstr("node features    2 uint8, categories 6 6"));
  EXPECT_THAT(text, HasSubstr("split            random: 1 train, 1 valid, 1 test graphs"));
  EXPECT_THAT(text, HasSubstr("edges            8 directed, each with its reverse"));
}

TEST_F(Report, StatsBeginWithTheFiguresOfPapers) {
  EXPECT_THAT(describe_stats(options_),
              testing::StartsWith("set: 3 graphs, 2.0 nodes, 1.3 bonds on average\n"));
}

TEST_F(Report, FolderWithACatalogueNameNeedsNothingSaidToBeLookedAt) {
  const auto folder = directory_.path() / "ogbg_molesol";
  write_sample(folder);
  write_text(folder / "raw/node-feat.csv.gz",
             gzip("1,0,0,0,0,0,0,0,0\n1,0,0,0,0,0,0,0,0\n1,0,0,0,0,0,0,0,0\n"
                  "1,0,0,0,0,0,0,0,0\n1,0,0,0,0,0,0,0,0\n1,0,0,0,0,0,0,0,0\n"));
  write_text(folder / "raw/edge-feat.csv.gz", gzip("0,0,0\n1,0,0\n2,0,0\n3,0,0\n"));
  DatasetOptions options;
  options.path = folder.string();
  EXPECT_THAT(describe_stats(options), testing::StartsWith("esol: 3 graphs"));
}

TEST_F(Report, VerifySaysOkOrWhatIsDamaged) {
  const auto path = directory_.path() / "x.h5";
  import_folder(options_, path);
  EXPECT_THAT(verify_store(path), HasSubstr("x.h5: ok; 3 graphs, 6 nodes, 8 directed edges"));
  const Dataset d = read_store(path);
  std::string bytes = base::read_file(path);
  const std::string source(static_cast<const char*>(d.source.data), d.source.bytes());
  bytes[bytes.find(source, 512)] ^= 1;
  write_text(path, bytes);
  EXPECT_THAT(message_of([&] { verify_store(path); }), HasSubstr("damaged in array 'source'"));
}

TEST_F(Report, ImportOfAStoreIsRefused) {
  const auto path = directory_.path() / "x.h5";
  import_folder(options_, path);
  options_.path = path.string();
  EXPECT_THAT(message_of([&] { import_folder(options_, directory_.path() / "y.h5"); }),
              HasSubstr("is a store already"));
}

// Published counts of the real sets; undirected edges once.
struct Real {
  const char* name;
  const char* folder;
  std::int64_t graphs, nodes, bonds, train, valid, test;
};

std::ostream& operator<<(std::ostream& out, const Real& real) { return out << real.folder; }

TEST(ImportFolder, ReplacesNoFileThatIsNoStore) {
  const test::TemporaryDirectory directory;
  const auto folder = directory.path() / "set";
  write_sample(folder);
  DatasetOptions options;
  options.path = folder.string();
  options.task = "graph_regression";
  options.metric = "mae";
  options.add_inverse_edge = true;
  const auto edges = folder / "raw/edge.csv.gz";
  const auto before = base::read_file(edges);
  EXPECT_THAT(message_of<base::RecipeError>([&] { import_folder(options, edges); }),
              HasSubstr("does not end in .h5"));
  EXPECT_EQ(base::read_file(edges), before);
  const auto foreign = directory.path() / "mine.h5";
  write_text(foreign, "\x89HDF\r\n\x1a\n of another program");
  EXPECT_THAT(message_of([&] { import_folder(options, foreign); }), HasSubstr("no gtrain store"));
  const auto store = directory.path() / "store.h5";
  import_folder(options, store);
  import_folder(options, store);
  EXPECT_EQ(read_store(store).graphs(), 3);
}

class RealSet : public testing::TestWithParam<Real> {};

TEST_P(RealSet, ImportsToItsPublishedCounts) {
  const Real& real = GetParam();
  const auto folder = real_sets() / real.folder;
  if (real_sets().empty() || !std::filesystem::exists(folder)) {
    GTEST_SKIP() << real.folder << " is not on this machine";
  }
  base::set_quiet(true);
  const test::TemporaryDirectory directory;
  const Environment cache("GTRAIN_CACHE", directory.path().string());
  DatasetOptions options;
  options.name = real.name;
  options.path = folder.string();
  const Opened opened = open_dataset(options);
  const Statistics s = statistics(opened.dataset);
  EXPECT_EQ(s.graphs, real.graphs);
  EXPECT_EQ(s.nodes, real.nodes);
  EXPECT_EQ(s.bonds, real.bonds);
  const Split& split = select_split(opened, options);
  EXPECT_EQ(static_cast<std::int64_t>(split.train.size()), real.train);
  EXPECT_EQ(static_cast<std::int64_t>(split.valid.size()), real.valid);
  EXPECT_EQ(static_cast<std::int64_t>(split.test.size()), real.test);
  EXPECT_NO_THROW(verify_store(opened.store));
  base::set_quiet(false);
}

INSTANTIATE_TEST_SUITE_P(
    All, RealSet,
    testing::Values(Real{"molhiv", "ogbg-molhiv", 41127, 1049163, 1129688, 32901, 4113, 4113},
                    Real{"molbace", "ogbg-molbace", 1513, 51577, 55768, 1210, 151, 152},
                    Real{"esol", "ogbg-molesol", 1128, 14991, 15428, 902, 113, 113},
                    Real{"moltox21", "ogbg-moltox21", 7831, 145459, 151095, 6264, 783, 784},
                    Real{"zinc", "zinc12k-rebuilt", 12000, 277123, 297940, 10000, 1000, 1000},
                    Real{"peptides-func", "peptides-func", 15535, 2344859, 2386987, 10873, 2331,
                         2331},
                    Real{"aqsol", "aqsol", 9823, 172556, 175655, 7831, 996, 996},
                    Real{"csl", "csl", 150, 6150, 12300, 90, 30, 30},
                    Real{"mutag", "tu-mutag", 188, 3371, 3721, 148, 20, 20},
                    Real{"nci1", "tu-nci1", 4110, 122747, 132753, 3286, 412, 412},
                    Real{"proteins", "tu-proteins", 1113, 43471, 81044, 889, 112, 112},
                    Real{"enzymes", "tu-enzymes", 600, 19580, 37282, 480, 60, 60},
                    Real{"cora", "planetoid-cora", 1, 2708, 5278, 140, 500, 1000},
                    Real{"citeseer", "planetoid-citeseer", 1, 3327, 4552, 120, 500, 1000},
                    Real{"texas", "webkb-texas", 1, 183, 325, 87, 59, 37},
                    Real{"chameleon", "chameleon", 1, 2277, 31371, 1092, 729, 456},
                    Real{"squirrel", "squirrel", 1, 5201, 198353, 2496, 1664, 1041},
                    Real{"minesweeper", "minesweeper", 1, 10000, 39402, 5000, 2500, 2500},
                    Real{"tolokers", "tolokers", 1, 11758, 519000, 5879, 2939, 2940},
                    Real{"cluster", "cluster-gen", 1400, 163196, 2990048, 1000, 200, 200},
                    Real{"pattern", "pattern-gen", 1400, 163581, 4086780, 1000, 200, 200}));

}  // namespace
}  // namespace gtrain::data
