#include "gtrain/train/recipe_writer.h"

#include <gtest/gtest.h>

#include "gtrain/train/recipe_decoder.h"

namespace gtrain::train {
namespace {

struct Small {
  static constexpr std::string_view kName = "small";
  static constexpr std::string_view kDoc = "";
  std::string text = "a b";
  double number = 1e-5;
  void fields(base::FieldVisitor& f) {
    f({.key = "text"}, text);
    f({.key = "number"}, number);
  }
};
struct Empty {
  static constexpr std::string_view kName = "empty";
  static constexpr std::string_view kDoc = "";
  void fields(base::FieldVisitor&) {}
};
using Either = std::variant<Small, Empty>;

struct Whole {
  bool flag = true;
  std::optional<std::int64_t> maybe;
  std::vector<std::int64_t> numbers{1, -2};
  std::vector<std::string> texts{"x", "yes"};
  Either either;
  std::vector<Either> list;
  std::optional<Small> extra;
  std::map<std::string, double> rest;
  void fields(base::FieldVisitor& f) {
    f({.key = "flag"}, flag);
    f({.key = "maybe"}, maybe);
    f({.key = "numbers"}, numbers);
    f({.key = "texts"}, texts);
    f({.key = "either", .tag = "kind"}, either);
    f({.key = "list"}, list);
    f({.key = "extra"}, extra);
    f.rest({.key = "value"}, rest);
  }
};

std::string write(Whole whole) {
  return to_yaml(to_tree([&](base::FieldVisitor& f) { whole.fields(f); }));
}

TEST(Writer, WritesEveryKeyWithDefaults) {
  EXPECT_EQ(write({}),
            "flag: true\nmaybe: null\nnumbers: [1, -2]\ntexts: [x, \"yes\"]\n"
            "either: {kind: small, text: \"a b\", number: 1e-05}\nlist: []\nextra: null\n");
}

TEST(Writer, BreaksWhatDoesNotFitOnOneLine) {
  Whole whole;
  whole.list = {Small{std::string(90, 'x'), 1}, Empty{}};
  const std::string text = write(whole);
  EXPECT_NE(text.find("list:\n  - name: small\n    text: xxx"), std::string::npos) << text;
  EXPECT_NE(text.find("\n    number: 1\n  - {name: empty}\n"), std::string::npos) << text;
}

TEST(Writer, ReadsBackEqual) {
  Whole whole;
  whole.flag = false;
  whole.maybe = -7;
  whole.numbers = {};
  whole.texts = {"", "null", "a\n\"b\"\\", "1e3", std::string(200, 'y'), "ü – 語"};
  whole.either = Empty{};
  whole.list = {Small{std::string(90, 'x'), 0.1 + 0.2}, Empty{}, Small{"", -0.0}};
  whole.extra = Small{"deep: [x", 1e300};
  whole.rest = {{"mae", 0.07}, {"hits@10", 1}};
  const std::string text = write(whole);
  Problems problems("w");
  Whole back;
  decode(
      parse_tree(text, -1, problems), [&](base::FieldVisitor& f) { back.fields(f); }, problems);
  EXPECT_EQ(problems.text(), "") << text;
  EXPECT_EQ(write(back), text);
  EXPECT_EQ(back.texts, whole.texts);
  EXPECT_EQ(std::get<Small>(back.list[0]).number, 0.1 + 0.2);
  EXPECT_EQ(back.rest, whole.rest);
  EXPECT_EQ(back.extra->text, "deep: [x");
}

TEST(Writer, WritesAnEmptyStructAsAnEmptyMap) {
  EXPECT_EQ(to_yaml(to_tree([](base::FieldVisitor&) {})), "{}\n");
}

}  // namespace
}  // namespace gtrain::train
