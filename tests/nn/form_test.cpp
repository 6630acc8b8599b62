#include "gtrain/nn/form.h"

#include <gtest/gtest.h>

namespace gtrain::nn {
namespace {

TEST(Form, PortablePhrasesAreAten) {
  const Form form = Form::kPortable;
  EXPECT_EQ(sum_script(form, "x", "h"), "x + h");
  EXPECT_EQ(norm_script(form, "norm", "h", "x", "batch"), "self.norm.forward(x + h, batch)");
  EXPECT_EQ(norm_script(form, "norm", "h", "", "batch"), "self.norm.forward(h, batch)");
  EXPECT_EQ(feed_script(form, "a", "b", Activation::kRelu, "y"),
            "self.b.forward(torch.relu(self.a.forward(y)))");
  EXPECT_EQ(groups_script(form, "rows"), "self.graph_groups(rows)");
}

TEST(Form, FusedPhrasesCallOperators) {
  const Form form = Form::kFused;
  EXPECT_EQ(sum_script(form, "x", "h"), "gtrain.activate(h, \"none\", x)");
  EXPECT_EQ(norm_script(form, "norm", "h", "x", "batch"), "self.norm.added(h, x, batch)");
  EXPECT_EQ(norm_script(form, "norm", "h", "", "batch"), "self.norm.forward(h, batch)");
  EXPECT_EQ(feed_script(form, "a", "b", Activation::kGelu, "y"),
            "gtrain.feed_forward(y, self.a.weight, self.a.bias, \"gelu\", self.b.weight, "
            "self.b.bias, [], [])");
  EXPECT_EQ(groups_script(form, "rows"), "[]");
}

}  // namespace
}  // namespace gtrain::nn
