#include "gtrain/train/build.h"

#include "gtrain/models/zoo.h"
#include "gtrain/sparsify/plan.h"

namespace gtrain::train {

std::shared_ptr<models::Model> build_model(const Recipe& recipe,
                                           const models::Signature& signature) {
  std::shared_ptr<models::Model> model = models::build(recipe.model, signature);
  if (recipe.sparsify) sparsify::attach(*model, *recipe.sparsify);
  return model;
}

}  // namespace gtrain::train
