#include "gtrain/train/checkpoint.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "gtrain/base/error.h"
#include "support/temporary_directory.h"

namespace gtrain::train {
namespace {

namespace fs = std::filesystem;

class Sample : public torch::nn::Module {
 public:
  explicit Sample(double v) {
    register_parameter("weight", at::full({2, 3}, v));
    register_buffer("count", at::full({}, 7, at::kLong));
  }
};

Checkpoint sample(double v) {
  const Sample module(v);
  Checkpoint c;
  for (const auto& [name, t] : model_tensors(module)) c.model[name] = t.clone();
  c.optimizer["weight.first"] = at::ones({2, 3});
  c.optimizer["weight.step"] = at::scalar_tensor(5, at::kLong);
  c.partial["outputs"] = at::rand({4, 1});
  c.progress.epoch = 3;
  c.progress.batch = 2;
  c.progress.best = std::nan("");
  c.progress.loss_sum = 0.1 + 0.2;
  c.progress.plateau = Plateau::State{0.25, 4, 1e-3};
  c.facts = {{"seed", "9"}};
  return c;
}

TEST(Checkpoint, ComesBackAsItWas) {
  const test::TemporaryDirectory t;
  const Checkpoint wrote = sample(0.5);
  write_checkpoint(t.path() / "c", wrote);
  const Checkpoint read = read_checkpoint(t.path() / "c");
  EXPECT_TRUE(read.model.at("weight").equal(wrote.model.at("weight")));
  EXPECT_EQ(read.model.at("count").item<std::int64_t>(), 7);
  EXPECT_EQ(read.optimizer.at("weight.step").item<std::int64_t>(), 5);
  EXPECT_TRUE(read.partial.at("outputs").equal(wrote.partial.at("outputs")));
  EXPECT_EQ(read.progress.batch, 2);
  EXPECT_TRUE(std::isnan(read.progress.best));
  EXPECT_EQ(read.progress.loss_sum, 0.1 + 0.2);
  ASSERT_TRUE(read.progress.plateau);
  EXPECT_EQ(read.progress.plateau->bad, 4);
  EXPECT_EQ(read.facts.at("seed"), "9");
}

TEST(Checkpoint, EveryFlippedByteIsNoticed) {
  const test::TemporaryDirectory t;
  write_checkpoint(t.path() / "c", sample(0.5));
  std::stringstream text;
  text << std::ifstream(t.path() / "c", std::ios::binary).rdbuf();
  const std::string whole = text.str();
  for (std::size_t i = 0; i < whole.size(); i += 7) {
    std::string hurt = whole;
    hurt[i] ^= 0x10;
    std::ofstream(t.path() / "h", std::ios::binary) << hurt;
    try {
      const Checkpoint read = read_checkpoint(t.path() / "h");
      ADD_FAILURE() << "byte " << i << " of " << whole.size() << " was not noticed";
    } catch (const base::DataError&) {
    }
  }
}

TEST(Checkpoint, TheOlderGenerationStandsInForADamagedOne) {
  const test::TemporaryDirectory t;
  std::vector<std::string> skipped;
  EXPECT_FALSE(newest_generation(t.path(), skipped));
  save_generation(t.path(), sample(1.0));
  save_generation(t.path(), sample(2.0));
  EXPECT_EQ(newest_generation(t.path(), skipped)->model.at("weight")[0][0].item<float>(), 2.0f);
  EXPECT_TRUE(skipped.empty());
  std::ofstream(t.path() / "last.safetensors") << "half a file";
  EXPECT_EQ(newest_generation(t.path(), skipped)->model.at("weight")[0][0].item<float>(), 1.0f);
  ASSERT_EQ(skipped.size(), 1u);
  EXPECT_NE(skipped[0].find("last.safetensors"), std::string::npos);
  fs::remove(t.path() / "last.safetensors");  // killed between rename and write
  EXPECT_TRUE(newest_generation(t.path(), skipped));
}

TEST(Checkpoint, ASaveThatFailsHarmsNeitherGeneration) {
  const test::TemporaryDirectory t;
  std::vector<std::string> skipped;
  save_generation(t.path(), sample(1.0));
  save_generation(t.path(), sample(2.0));
  std::ofstream(t.path() / "last.safetensors") << "half a file";
  fs::create_directory(t.path() / "last.next.safetensors");  // refuses as a full disk does
  EXPECT_THROW(save_generation(t.path(), sample(3.0)), base::ResourceError);
  EXPECT_EQ(newest_generation(t.path(), skipped)->model.at("weight")[0][0].item<float>(), 1.0f);
}

TEST(Checkpoint, TensorsThatDoNotFitTheModelAreNamed) {
  Sample module(0.0);
  NamedTensors tensors = sample(1.0).model;
  load_model_tensors(module, tensors, "x");
  EXPECT_EQ(module.parameters()[0][0][0].item<float>(), 1.0f);
  tensors["extra"] = at::ones({1});
  EXPECT_THROW(load_model_tensors(module, tensors, "x"), base::DataError);
  tensors.erase("extra");
  tensors.erase("weight");
  try {
    load_model_tensors(module, tensors, "x");
    FAIL() << "accepted";
  } catch (const base::DataError& e) {
    EXPECT_NE(std::string(e.what()).find("weight"), std::string::npos);
  }
}

}  // namespace
}  // namespace gtrain::train
