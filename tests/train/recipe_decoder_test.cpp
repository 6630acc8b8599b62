#include "gtrain/train/recipe_decoder.h"

#include <gtest/gtest.h>

#include "gtrain/base/error.h"

namespace gtrain::train {
namespace {

struct Circle {
  static constexpr std::string_view kName = "circle";
  static constexpr std::string_view kDoc = "round";
  double radius = 1;
  void fields(base::FieldVisitor& f) { f({.key = "radius", .min = 0, .max = 10}, radius); }
};
struct Square {
  static constexpr std::string_view kName = "square";
  static constexpr std::string_view kDoc = "not round";
  std::int64_t side = 2;
  void fields(base::FieldVisitor& f) { f({.key = "side", .min = 1}, side); }
};
using Shape = std::variant<Circle, Square>;

struct Point {
  std::int64_t x = 0, y = 0;
  void fields(base::FieldVisitor& f) {
    f({.key = "x"}, x);
    f({.key = "y"}, y);
    f.require(x <= y, "x", "must be at most y");
  }
};

struct Figure {
  std::string name;
  bool filled = false;
  std::string colour = "red";
  std::optional<bool> thick;
  std::optional<std::int64_t> order;
  std::vector<std::int64_t> seeds{0};
  std::vector<double> weights;
  std::vector<std::string> labels;
  Shape shape;
  std::vector<Shape> parts;
  Point origin;
  std::optional<Point> end;
  std::map<std::string, double> values;

  void fields(base::FieldVisitor& f) {
    f({.key = "name", .required = true}, name);
    f({.key = "filled"}, filled);
    f({.key = "colour", .one_of = {"red", "green", "blue"}}, colour);
    f({.key = "thick"}, thick);
    f({.key = "order", .min = 0}, order);
    f({.key = "seeds", .min = 0, .max = 99}, seeds);
    f({.key = "weights"}, weights);
    f({.key = "labels", .one_of = {"a", "b"}}, labels);
    f({.key = "shape", .tag = "kind"}, shape);
    f({.key = "parts"}, parts);
    f({.key = "origin"}, origin);
    f({.key = "end"}, end);
    f.require(!filled || colour != "red", "filled", "cannot be red");
    f.require(parts.size() < 3, "parts[2].name", "too many parts");
  }
};

struct Decoded {
  Figure figure;
  std::string problems;
};

Decoded decode_figure(const std::string& yaml) {
  Decoded out;
  Problems problems("f.yaml");
  const RecipeNode root = parse_tree(yaml, -1, problems);
  decode(
      root, [&](base::FieldVisitor& f) { out.figure.fields(f); }, problems);
  out.problems = problems.text();
  return out;
}

TEST(Decoder, TakesEveryKindOfValue) {
  const auto [figure, problems] = decode_figure(
      "{name: n, filled: true, colour: blue, thick: false, order: 3, seeds: [1, 4..6],\n"
      " weights: [1, 2.5e-1], labels: [a, b], shape: {kind: square, side: 4},\n"
      " parts: [{name: circle, radius: 2}, {name: square}], origin: {x: -1}, end: {x: 1, y: 2}}");
  EXPECT_EQ(problems, "");
  EXPECT_TRUE(figure.filled);
  EXPECT_EQ(figure.thick, false);
  EXPECT_EQ(figure.order, 3);
  EXPECT_EQ(figure.seeds, (std::vector<std::int64_t>{1, 4, 5, 6}));
  EXPECT_EQ(figure.weights, (std::vector<double>{1, 0.25}));
  EXPECT_EQ(std::get<Square>(figure.shape).side, 4);
  EXPECT_EQ(std::get<Circle>(figure.parts.at(0)).radius, 2);
  EXPECT_EQ(std::get<Square>(figure.parts.at(1)).side, 2);
  EXPECT_EQ(figure.origin.x, -1);
  EXPECT_EQ(figure.end->y, 2);
}

TEST(Decoder, KeepsDefaultsOfAbsentKeys) {
  const auto [figure, problems] = decode_figure("{name: n, thick: null, end: null}");
  EXPECT_EQ(problems, "");
  EXPECT_EQ(figure.colour, "red");
  EXPECT_EQ(figure.seeds, (std::vector<std::int64_t>{0}));
  EXPECT_EQ(std::get<Circle>(figure.shape).radius, 1);
  EXPECT_FALSE(figure.thick.has_value());
  EXPECT_FALSE(figure.end.has_value());
}

TEST(Decoder, NamesUnknownKeysWithPlaceAndSuggestion) {
  EXPECT_EQ(decode_figure("name: n\norigin:\n  z: 1\n  xx: 2\n").problems,
            "f.yaml:3:3: origin.z: unknown key; known: x, y\n"
            "f.yaml:4:3: origin.xx: unknown key; known: x, y");
  EXPECT_EQ(decode_figure("name: n\ncolor: red\n").problems.substr(0, 53),
            "f.yaml:2:1: color: unknown key (did you mean colour?)");
}

TEST(Decoder, NamesAMissingRequiredKeyAtItsMap) {
  EXPECT_EQ(decode_figure("\n{filled: false}").problems, "f.yaml:2:1: name: is missing");
}

TEST(Decoder, NamesTheAlternativesOfAChoice) {
  EXPECT_EQ(decode_figure("{name: n, shape: {side: 1}}").problems,
            "f.yaml:1:18: shape: key kind is missing; choose one of circle, square");
  EXPECT_EQ(decode_figure("{name: n, shape: {kind: sqare}}").problems,
            "f.yaml:1:25: shape.kind: unknown value sqare (did you mean square?); known: circle, "
            "square");
  EXPECT_EQ(decode_figure("{name: n, shape: square}").problems,
            "f.yaml:1:18: shape: expected a map such as {kind: circle}, got square; known: circle, "
            "square");
}

TEST(Decoder, RefusesKeysOfAnotherAlternative) {
  EXPECT_EQ(decode_figure("{name: n, shape: {kind: square, radius: 1}}").problems,
            "f.yaml:1:33: shape.radius: unknown key; known: kind, side");
}

TEST(Decoder, ChecksBoundsOfNumbersAndListElements) {
  EXPECT_EQ(decode_figure("{name: n, order: -1, seeds: [3, 100], parts: [{name: circle, radius: "
                          "11}]}")
                .problems,
            "f.yaml:1:18: order: must be at least 0, got -1\n"
            "f.yaml:1:33: seeds[1]: must be between 0 and 99, got 100\n"
            "f.yaml:1:70: parts[0].radius: must be between 0 and 10, got 11");
}

TEST(Decoder, ChecksNamesOfTextsAndListElements) {
  EXPECT_EQ(decode_figure("{name: n, colour: gren, labels: [a, c]}").problems,
            "f.yaml:1:19: colour: unknown value gren (did you mean green?); known: red, green, "
            "blue\nf.yaml:1:37: labels[1]: unknown value c; known: a, b");
}

TEST(Decoder, RefusesValuesOfTheWrongKind) {
  EXPECT_EQ(decode_figure("{name: [n], filled: yes, seeds: 3, weights: 1, parts: {}, origin: 5, "
                          "order: {}, shape: [], end: x}")
                .problems,
            "f.yaml:1:8: name: expected text, got a list\n"
            "f.yaml:1:21: filled: expected true or false, got yes\n"
            "f.yaml:1:33: seeds: expected a list such as [0, 1, 2] or a range such as 0..9, got 3\n"
            "f.yaml:1:45: weights: expected a list, got 1\n"
            "f.yaml:1:55: parts: expected a list, got a map\n"
            "f.yaml:1:67: origin: expected a map, got 5\n"
            "f.yaml:1:77: order: expected an integer, got a map\n"
            "f.yaml:1:88: shape: expected a map such as {kind: circle}, got a list; known: circle, "
            "square\n"
            "f.yaml:1:97: end: expected a map, got x");
}

TEST(Decoder, ReportsConstraintsAtTheKeyOrItsNearestAncestor) {
  EXPECT_EQ(decode_figure("name: n\nfilled: true\n").problems, "f.yaml:2:1: filled: cannot be red");
  EXPECT_EQ(decode_figure("name: n\norigin: {y: -1}\n").problems,
            "f.yaml:2:9: origin.x: must be at most y");
  EXPECT_EQ(
      decode_figure("name: n\nparts: [{name: circle}, {name: circle}, {name: square}]\n").problems,
      "f.yaml:2:42: parts[2].name: too many parts");
}

TEST(Decoder, HoldsAConstraintBackWhoseValueWasAlreadyRefused) {
  EXPECT_EQ(decode_figure("name: n\norigin: {x: 5, y: seven}\n").problems,
            "f.yaml:2:19: origin.y: expected an integer, got seven");
}

TEST(Decoder, RefusesARootThatIsNoMap) {
  EXPECT_EQ(decode_figure("").problems, "f.yaml:1:1: expected a map of keys, got nothing");
  EXPECT_EQ(decode_figure("[1]").problems, "f.yaml:1:1: expected a map of keys, got a list");
}

struct Result {
  std::string source;
  std::map<std::string, double> values;
  void fields(base::FieldVisitor& f) {
    f.rest({.key = "value"}, values);
    f({.key = "source"}, source);
  }
};

TEST(Decoder, CollectsLeftOverNumbersEvenBeforeLaterFields) {
  Problems problems("f.yaml");
  Result result;
  const RecipeNode root = parse_tree("{mae: 0.07, runs: 10, source: s, sorce: t}", -1, problems);
  decode(
      root, [&](base::FieldVisitor& f) { result.fields(f); }, problems);
  EXPECT_EQ(result.values, (std::map<std::string, double>{{"mae", 0.07}, {"runs", 10}}));
  EXPECT_EQ(problems.text(),
            "f.yaml:1:41: sorce: expected a number, got t (did you mean source?); keys other than "
            "source hold numbers");
}

}  // namespace
}  // namespace gtrain::train
