#include "gtrain/deploy/exported.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "deploy/script_case.h"
#include "gtrain/base/durable.h"
#include "gtrain/base/error.h"
#include "gtrain/deploy/archive.h"
#include "gtrain/deploy/export.h"
#include "support/temporary_directory.h"

namespace gtrain::deploy {
namespace {

namespace fs = std::filesystem;

class ExportedFile : public ::testing::Test {
 protected:
  fs::path write(const std::string& bytes, const std::string& name = "f.pt") const {
    const fs::path path = directory_.path() / name;
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }

  // Exports the model with these encodings' place.
  fs::path exported(Encodings place) {
    spec_.encodings = place;
    const fs::path path = directory_.path() / "model.pt";
    export_torchscript(*model_, spec_, {sample_of(batch({0, 1}), *model_, place)}, path);
    return path;
  }

  data::GraphBatch batch(const std::vector<std::int64_t>& ids) const {
    return data::collate(dataset_, columns_, ids);
  }

  void refused(const fs::path& path, const std::string& says) const {
    EXPECT_THAT([&] { load_exported(path); },
                ::testing::ThrowsMessage<base::DataError>(::testing::HasSubstr(says)));
  }

  test::TemporaryDirectory directory_;
  data::Dataset dataset_ =
      categorical_dataset({support::path(4), support::cycle(5), support::edgeless(0)});
  std::vector<encode::EncodingOptions> encodings_ = all_encodings();
  std::vector<data::Column> columns_ = compute_all(dataset_, encodings_);
  models::Signature signature_ = signature_of(dataset_, encodings_);
  std::shared_ptr<models::Model> model_ = random_model(small_gps(), signature_);
  ExportSpec spec_ = spec_of(signature_, encodings_);
};

TEST_F(ExportedFile, GivesTheModelsOutputsOfABatch) {
  for (const Encodings place : {Encodings::kInside, Encodings::kInput}) {
    Exported e = load_exported(exported(place));
    const data::GraphBatch b = batch({1, 0, 1});
    EXPECT_LT((run(e, b) - run_model(*model_, b)).abs().max().item<double>(), 1e-5);
  }
}

TEST_F(ExportedFile, GivesARowForGraphsWithoutNodesToo) {
  for (const Encodings place : {Encodings::kInside, Encodings::kInput}) {
    Exported e = load_exported(exported(place));
    for (const std::vector<std::int64_t>& ids :
         {std::vector<std::int64_t>{0, 2}, {2, 2}, {2, 0, 2, 2}}) {
      const data::GraphBatch b = batch(ids);
      const at::Tensor want = run_model(*model_, b), got = run(e, b);
      ASSERT_EQ(got.sizes(), want.sizes());
      EXPECT_LT((got - want).abs().max().item<double>(), 1e-5);
    }
  }
}

TEST_F(ExportedFile, GivesARowForGraphsWithoutNodesWhoseEncodingsHaveAVirtualNode) {
  data::VirtualNodeOptions virtual_node;
  virtual_node.after = "import";
  spec_.transform = {virtual_node};
  spec_.encodings = Encodings::kInput;
  const data::Dataset raw = dataset_;
  dataset_ = data::transform(raw, {}, spec_.transform, "import").dataset;
  columns_ = compute_all(dataset_, encodings_);
  models::GraphormerOptions graphormer = small_graphormers().at("paths");
  for (const models::ModelOptions& options :
       {models::ModelOptions(small_gps()), models::ModelOptions(graphormer)}) {
    model_ = random_model(options, signature_);
    const auto given = [&](const std::vector<std::int64_t>& ids) {
      data::GraphBatch out = data::collate(raw, {}, ids);
      out.encoding = batch(ids).encoding;
      return out;
    };
    const fs::path path = directory_.path() / "model.pt";
    const std::vector<std::int64_t> sampled{0, 1};
    export_torchscript(
        *model_, spec_,
        {{arguments_of(given(sampled), *model_, spec_.encodings), batch(sampled), {}}}, path);
    Exported e = load_exported(path);
    for (const std::vector<std::int64_t>& ids :
         {std::vector<std::int64_t>{1, 0}, {0, 2}, {2, 2}, {2, 0, 2}}) {
      const at::Tensor want = run_model(*model_, batch(ids)), got = run(e, given(ids));
      ASSERT_EQ(got.sizes(), want.sizes());
      EXPECT_LT((got - want).abs().max().item<double>(), 1e-5);
    }
  }
}

TEST_F(ExportedFile, SaysWhatItsModuleSaysOfWrongData) {
  Exported e = load_exported(exported(Encodings::kInside));
  data::GraphBatch b = batch({0});
  b.node = b.node.clone();
  b.node[0][0] = 99;
  EXPECT_THAT([&] { run(e, b); }, ::testing::ThrowsMessage<base::DataError>(::testing::StartsWith(
                                      "the exported module refuses the data: x: ")));
}

TEST_F(ExportedFile, ThatIsForeignIsRefused) {
  torch::jit::Module module("foreign");
  module.define("def forward(self, x: Tensor) -> Tensor:\n    return x\n");
  std::ostringstream bytes;
  module.save(bytes);
  refused(write(bytes.str()), "has no seal at its end");
  refused(write(seal(bytes.str())), "its gtrain.json cannot be read");
  std::string zip("PK\5\6", 4);
  zip.resize(22);
  refused(write(seal(zip)), "cannot load it");
  refused(write(""), "has no seal at its end");
  refused(directory_.path() / "missing.pt", "missing.pt");
  refused(directory_.path(), directory_.path().string());
}

// A change of the file: other bytes, bytes that are missing, bytes too many.
std::string damaged(std::string bytes, base::Random& random) {
  const auto place = static_cast<std::size_t>(random.below(bytes.size()));
  switch (random.below(4)) {
    case 0:
      return bytes.substr(0, place);
    case 1:
      return bytes + std::string(1 + random.below(64), static_cast<char>(random.below(256)));
    case 2:
      return bytes.erase(place, 1 + random.below(16));
    default:
      bytes[place] = static_cast<char>(bytes[place] ^ static_cast<char>(1u << random.below(8)));
      return bytes;
  }
}

TEST_F(ExportedFile, EveryOneOfAThousandDamagesIsFound) {
  const fs::path path = exported(Encodings::kInside);
  const std::string bytes = base::read_file(path);
  EXPECT_NO_THROW(check_seal(bytes, path));
  base::Random random(2024);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_THROW(check_seal(damaged(bytes, random), path), base::DataError) << i;
  }
  // The end: the record of the zip, the comment's length and the seal, each bit.
  for (std::size_t at = bytes.size() - 66; at < bytes.size(); ++at) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      std::string changed = bytes;
      changed[at] = static_cast<char>(changed[at] ^ static_cast<char>(1u << bit));
      EXPECT_THROW(check_seal(changed, path), base::DataError) << at;
    }
  }
}

}  // namespace
}  // namespace gtrain::deploy
