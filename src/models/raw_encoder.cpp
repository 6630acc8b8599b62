#include "gtrain/models/raw_encoder.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <limits>

#include "gtrain/base/error.h"
#include "gtrain/nn/embedding.h"
#include "gtrain/nn/linear.h"
#include "gtrain/nn/merged_embedding.h"
#include "gtrain/nn/standardised_linear.h"
#include "gtrain/nn/unit_mlp.h"

namespace gtrain::models {
namespace {

using base::RecipeError;
using Made = std::shared_ptr<nn::Layer>;

Made make(const TypeOptions& o, const RawColumns& raw, std::int64_t width) {
  if (raw.categories.empty() && (o.count == 0 || raw.width == 0)) {
    throw RecipeError(fmt::format("model.{}: type needs a categorical column; the data set has {}",
                                  raw.what, raw.width == 0 ? "none" : "float columns"));
  }
  const std::int64_t count = o.count > 0 ? o.count : raw.categories[0];
  if (!raw.categories.empty() && count < raw.categories[0]) {
    throw RecipeError(fmt::format("model.{}.count: is {}; the data set has {} categories", raw.what,
                                  count, raw.categories[0]));
  }
  return std::make_shared<nn::Embedding>(std::vector<std::int64_t>{count}, width,
                                         nn::EmbeddingInit::kNormal);
}

Made make(const CategoricalOptions& o, const RawColumns& raw, std::int64_t width) {
  if (raw.categories.empty()) {
    throw RecipeError(
        fmt::format("model.{}: categorical needs categorical columns; the data set has {}",
                    raw.what, raw.width == 0 ? "none" : "float columns"));
  }
  if (!o.counts.empty() && o.counts.size() != raw.categories.size()) {
    throw RecipeError(fmt::format("model.{}.counts: has {} entries; the data set has {} columns",
                                  raw.what, o.counts.size(), raw.categories.size()));
  }
  for (std::size_t c = 0; c < o.counts.size() && !o.clamp; ++c) {
    if (o.counts[c] < raw.categories[c]) {
      throw RecipeError(fmt::format(
          "model.{}.counts[{}]: is {}; the data set has {} categories there (clamp: true counts "
          "the rest as the last)",
          raw.what, c, o.counts[c], raw.categories[c]));
    }
  }
  return std::make_shared<nn::Embedding>(
      o.counts.empty() ? raw.categories : o.counts, width,
      o.init == "normal" ? nn::EmbeddingInit::kNormal : nn::EmbeddingInit::kXavier, o.clamp);
}

Made make(const MergedOptions& o, const RawColumns& raw, std::int64_t width) {
  if (raw.categories.empty()) {
    throw RecipeError(fmt::format("model.{}: merged needs categorical columns; the data set has {}",
                                  raw.what, raw.width == 0 ? "none" : "float columns"));
  }
  const auto last = static_cast<std::int64_t>(raw.categories.size()) - 1;
  for (std::int64_t c = 0; c <= last; ++c) {
    const std::int64_t count = raw.categories[static_cast<std::size_t>(c)];
    if (count + 2 + o.stride * c > o.rows || (c < last && count > o.stride)) {
      throw RecipeError(
          fmt::format("model.{}: {} rows with stride {} do not hold the {} categories of column {}",
                      raw.what, o.rows, o.stride, count, c));
    }
  }
  return std::make_shared<nn::MergedEmbedding>(raw.categories,
                                               nn::MergedEmbedding::Shape{o.rows, o.stride, width});
}

void require_columns(const RawColumns& raw, const char* kind) {
  if (raw.width == 0) {
    throw RecipeError(
        fmt::format("model.{}: {} needs columns; the data set has none", raw.what, kind));
  }
}

Made make(const LinearOptions&, const RawColumns& raw, std::int64_t width) {
  require_columns(raw, "linear");
  return std::make_shared<nn::Linear>(raw.width, width);
}

Made make(const StandardisedOptions& o, const RawColumns& raw, std::int64_t width) {
  require_columns(raw, "standardised");
  const auto given = static_cast<std::int64_t>(o.mean.size());
  if (given != raw.width) {
    throw RecipeError(fmt::format("model.{}.mean: has {} entries; the data set has {} columns",
                                  raw.what, given, raw.width));
  }
  return std::make_shared<nn::StandardisedLinear>(o.mean, o.std, width);
}

Made make(const UnitMlpOptions& o, const RawColumns& raw, std::int64_t width) {
  require_columns(raw, "mlp");
  return std::make_shared<nn::UnitMlp>(raw.width, width, o.layers);
}

Made make(const ConstantOptions&, const RawColumns&, std::int64_t width) {
  return std::make_shared<nn::Constant>(width);
}

Made make(const NoneOptions&, const RawColumns&, std::int64_t) { return nullptr; }

Made make(const IdleOptions&, const RawColumns& raw, std::int64_t width) {
  return raw.categories.empty() ? make(LinearOptions{}, raw, width)
                                : make(CategoricalOptions{}, raw, width);
}

}  // namespace

Made make_raw_encoder(const NodeOptions& options, const RawColumns& columns, std::int64_t width) {
  return std::visit([&](const auto& o) { return make(o, columns, width); }, options);
}

Made make_raw_encoder(const EdgeOptions& options, const RawColumns& columns, std::int64_t width) {
  return std::visit([&](const auto& o) { return make(o, columns, width); }, options);
}

at::Tensor encode_raw(nn::Layer& layer, const at::Tensor& raw, std::int64_t rows,
                      at::ScalarType type, nn::Context& context) {
  if (auto* constant = dynamic_cast<nn::Constant*>(&layer)) return constant->forward(rows);
  const at::Tensor columns = raw.dim() == 1 ? raw.unsqueeze(1) : raw;
  if (auto* table = dynamic_cast<nn::Embedding*>(&layer)) return table->forward(columns);
  if (auto* merged = dynamic_cast<nn::MergedEmbedding*>(&layer)) return merged->forward(columns);
  const at::Tensor numbers = columns.to(layer.parameters().front().device(), type);
  if (auto* linear = dynamic_cast<nn::Linear*>(&layer)) return linear->forward(numbers);
  if (auto* standard = dynamic_cast<nn::StandardisedLinear*>(&layer)) {
    return standard->forward(numbers);
  }
  return dynamic_cast<nn::UnitMlp&>(layer).forward(numbers, context);
}

std::string raw_call(const nn::Layer& layer, const std::string& name, const std::string& argument) {
  if (dynamic_cast<const nn::Constant*>(&layer) != nullptr) {
    return fmt::format("self.{}.forward({}.size(0))", name, argument);
  }
  if (dynamic_cast<const nn::Linear*>(&layer) != nullptr) {
    return fmt::format("self.{0}.forward({1}.to(self.{0}.weight.dtype))", name, argument);
  }
  if (dynamic_cast<const nn::StandardisedLinear*>(&layer) != nullptr) {
    return fmt::format("self.{0}.forward({1}.to(self.{0}.mean.dtype))", name, argument);
  }
  if (dynamic_cast<const nn::UnitMlp*>(&layer) != nullptr) {
    return fmt::format("self.{0}.forward({1}.to(self.{0}.linear_0.weight.dtype), batch)", name,
                       argument);
  }
  return fmt::format("self.{}.forward({})", name, argument);
}

std::string raw_check(const nn::Layer& layer, const std::string& argument) {
  std::vector<std::int64_t> counts;
  if (const auto* table = dynamic_cast<const nn::Embedding*>(&layer)) {
    for (const at::Tensor& t : table->tables) {
      counts.push_back(table->clamps() ? std::numeric_limits<std::int64_t>::max() : t.size(0));
    }
  } else if (const auto* merged = dynamic_cast<const nn::MergedEmbedding*>(&layer)) {
    counts = merged->categories();
  }
  if (counts.empty()) return "";
  return fmt::format("    self.check_categories({0}, [{1}], \"{0}\")\n", argument,
                     fmt::join(counts, ", "));
}

std::string check_categories_script() {
  return "def check_categories(self, columns: Tensor, counts: List[int], name: str):\n"
         "    assert columns.numel() == 0 or not columns.is_floating_point(), "
         "\"{}: has a floating type; expected integer categories\".format(name)\n"
         "    used = columns[:, :len(counts)]\n"
         "    limit = torch.tensor(counts, device=columns.device)\n"
         "    wrong = torch.nonzero((used < 0) | (used >= limit))\n"
         "    if wrong.size(0) > 0:\n"
         "        row = int(wrong[0][0])\n"
         "        c = int(wrong[0][1])\n"
         "        assert False, \"{}: row {} column {} holds {}; expected a category from 0 to {}\""
         ".format(name, row, c, int(used[row][c]), counts[c] - 1)\n";
}

}  // namespace gtrain::models
