#include "gtrain/models/options.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <utility>

#include "gtrain/models/gps.h"

// Options as somebody's program has them: in a namespace of its own, with a builder beside them.
namespace elsewhere {

struct OwnOptions {
  static constexpr std::string_view kName = "own";
  static constexpr std::string_view kDoc = "a model of somebody's own";
  std::int64_t depth = 3;
  void fields(gtrain::base::FieldVisitor& f) { f({.key = "depth"}, depth); }
};

std::shared_ptr<gtrain::models::Model> build_model(const OwnOptions& options,
                                                   const gtrain::models::Signature&) {
  throw std::runtime_error("depth " + std::to_string(options.depth));
}

}  // namespace elsewhere

namespace gtrain::models {
namespace {

TEST(ModelOptions, AreThoseOfGpsUntilSaidOtherwise) {
  const ModelOptions options;
  EXPECT_EQ(options.name(), "gps");
  ASSERT_NE(options.get_if<GpsOptions>(), nullptr);
  EXPECT_EQ(options.get_if<elsewhere::OwnOptions>(), nullptr);
  EXPECT_EQ(options.width(), GpsOptions().width);
  EXPECT_EQ(options.encoders()->size(), 0u);
}

TEST(ModelOptions, CopiesAreIndependent) {
  ModelOptions first{GpsOptions()};
  ModelOptions second = first;
  second.get_if<GpsOptions>()->width = 12;
  EXPECT_EQ(first.width(), GpsOptions().width);
  first = second;
  second.get_if<GpsOptions>()->width = 24;
  EXPECT_EQ(first.width(), 12);
}

TEST(ModelOptions, HoldAStructOfAnotherNamespaceAndBuildItsModel) {
  elsewhere::OwnOptions own;
  own.depth = 7;
  const ModelOptions options(own);
  EXPECT_EQ(options.name(), "own");
  EXPECT_EQ(options.doc(), "a model of somebody's own");
  EXPECT_EQ(options.encoders(), nullptr);
  EXPECT_EQ(options.width(), std::nullopt);
  try {
    options.build({});
    FAIL();
  } catch (const std::runtime_error& e) {
    EXPECT_STREQ(e.what(), "depth 7");
  }
}

}  // namespace
}  // namespace gtrain::models
