// The table of models: every model gtrain can build, its options and what verifies it. Adding a
// model is its header and source and one line in zoo.cpp; its own file defines
// build_model(const XOptions&, const Signature&). A program with models of its own copies the
// table, adds to it, and hands it to whatever reads recipes (docs/library.md):
//
//   gtrain::models::Zoo zoo = gtrain::models::zoo();
//   zoo.add(gtrain::models::entry<mine::TwoHopOptions>("this work", "not yet"));
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string_view>
#include <vector>

#include "gtrain/models/options.h"

namespace gtrain::models {

struct Entry {
  std::string_view name, paper, verified;  // verified: "golden", "equations" or "not yet"
  ModelOptions defaults;
};
template <Buildable Options>
Entry entry(std::string_view paper, std::string_view verified) {
  return {Options::kName, paper, verified, Options()};
}

class Zoo {
 public:
  Zoo(std::initializer_list<Entry> entries);
  // Throws std::invalid_argument for a name that is taken.
  void add(Entry entry);
  const Entry* find(std::string_view name) const;  // nullptr: no such model
  std::size_t size() const { return entries_.size(); }
  auto begin() const { return entries_.begin(); }
  auto end() const { return entries_.end(); }

 private:
  std::vector<Entry> entries_;  // in the order they are listed
};
const Zoo& zoo();  // gtrain's own

// The choice of a model in a recipe: `f.choice({.key = "model"}, choice)` in fields().
class ModelChoice final : public base::ChoiceAccess {
 public:
  ModelChoice(ModelOptions& value, const Zoo& zoo) : value_(value), zoo_(zoo) {}
  std::vector<Alternative> alternatives() const override;
  std::string_view selected() const override { return value_.name(); }
  bool select(std::string_view name) override;
  void fields(base::FieldVisitor& visitor) override { value_.visit(visitor); }
  void describe(std::size_t i, base::FieldVisitor& visitor) override;

 private:
  ModelOptions& value_;
  const Zoo& zoo_;
};

// Throws base::RecipeError where options and data do not fit (float features for an embedding, a
// head of the wrong level, an encoding that is not computed), naming the key.
std::shared_ptr<Model> build(const ModelOptions& options, const Signature& signature);

// Draws every parameter from the distributions of the reference implementation, as a function of
// `seed` alone.
void initialise(Model& model, std::uint64_t seed);

// Learned values; what published tables call parameters.
std::int64_t parameter_count(const Model& model);

}  // namespace gtrain::models
