#include "gtrain/encode/option_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gtrain/base/error.h"
#include "gtrain/encode/catalog.h"

namespace gtrain::encode {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(OptionText, NamesEveryOption) {
  EXPECT_EQ(to_json(RandomWalkOptions{.steps = 7}), R"({"name":"random_walk","steps":7})");
  EXPECT_EQ(to_json(HeatKernelOptions{.times = {0.1, 3}}),
            R"({"name":"heat_kernel","times":[0.1,3.0]})");
  EXPECT_EQ(to_json(DegreeOptions{}), R"({"name":"degree"})");
}

TEST(OptionText, GivesTheOptionsBack) {
  const LaplacianOptions laplacian{.count = 3,
                                   .skip = 2,
                                   .normalization = "rw",
                                   .vector_norm = "wavelength_soft",
                                   .quirks = {"rw_lower_triangle"}};
  const auto back = std::get<LaplacianOptions>(from_json(to_json(laplacian)));
  EXPECT_EQ(back.count, 3);
  EXPECT_EQ(back.skip, 2);
  EXPECT_EQ(back.normalization, "rw");
  EXPECT_EQ(back.vector_norm, "wavelength_soft");
  EXPECT_EQ(back.quirks, laplacian.quirks);
  const double time = 1.0 / 3.0;
  EXPECT_EQ(std::get<HeatKernelOptions>(from_json(to_json(HeatKernelOptions{{time}}))).times[0],
            time);
}

TEST(OptionText, IsThereForEveryEncoding) {
  for (const EncodingEntry& entry : catalog()) {
    const std::string text = "{\"name\":\"" + std::string(entry.name) + "\"}";
    EXPECT_EQ(name_of(from_json(to_json(from_json(text)))), entry.name);
  }
}

TEST(OptionText, KeysLeftOutKeepTheirDefaults) {
  EXPECT_EQ(std::get<RandomWalkOptions>(from_json(R"({"name":"random_walk"})")).steps,
            RandomWalkOptions{}.steps);
}

TEST(OptionText, SaysWhatIsWrong) {
  const std::vector<std::pair<std::string, std::string>> wrongs{
      {"steps", "expected a JSON object"},
      {R"({"steps":3})", "expected a JSON object with a name"},
      {R"({"name":"walk"})", "walk: no such encoding"},
      {R"({"name":"random_walk","step":3})", "random_walk has keys that are not its own"},
      {R"({"name":"random_walk","steps":"many"})", "random_walk.steps: has the value \"many\""},
      {R"({"name":"random_walk","steps":0})", "random_walk.steps: is 0; expected 1 to 256"},
      {R"({"name":"random_walk","steps":2.9})", "random_walk.steps: has the value 2.9"},
      {R"({"name":"random_walk","steps":true})", "random_walk.steps: has the value true"},
      {R"({"name":"heat_kernel","times":[]})", "heat_kernel.times: is empty"},
      {R"({"name":"heat_kernel","times":[1,-5]})", "heat_kernel.times: is -5; expected"},
      {R"({"name":"laplacian","normalization":"bogus"})", "normalization: is bogus; known: "},
      {R"({"name":"shortest_path","ties":"no"})", "shortest_path.ties: is no; known: "},
      {R"({"name":"laplacian","quirks":["nope"]})", "laplacian.quirks: is nope; known: "},
  };
  for (const auto& [text, says] : wrongs) {
    EXPECT_THAT([&] { from_json(text); }, ThrowsMessage<base::RecipeError>(HasSubstr(says)));
  }
}

}  // namespace
}  // namespace gtrain::encode
