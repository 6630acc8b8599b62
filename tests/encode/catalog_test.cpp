#include "gtrain/encode/catalog.h"

#include <gtest/gtest.h>

#include "gtrain/encode/encoding.h"

namespace gtrain::encode {
namespace {

template <std::size_t... I>
std::vector<std::string_view> alternatives(std::index_sequence<I...>) {
  return {std::variant_alternative_t<I, EncodingOptions>::kName...};
}

TEST(EncodingCatalog, ListsEveryAlternativeOfTheRecipeInOrder) {
  const auto names = alternatives(std::make_index_sequence<std::variant_size_v<EncodingOptions>>());
  ASSERT_EQ(catalog().size(), names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    EXPECT_EQ(catalog()[i].name, names[i]);
    EXPECT_NE(catalog()[i].columns.find(names[i]), std::string_view::npos);
  }
}

}  // namespace
}  // namespace gtrain::encode
