#include "gtrain/train/recipe.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "gtrain/models/gps.h"
#include "gtrain/models/graphormer.h"

namespace gtrain::train {

namespace {

constexpr double kCount = 1e9;  // bound of everything that counts epochs, steps or batches

void moment_fields(base::FieldVisitor& f, double& beta1, double& beta2, double& eps) {
  f({.key = "beta1", .doc = "decay of the first moment", .min = 0, .max = 0.9999999}, beta1);
  f({.key = "beta2", .doc = "decay of the second moment", .min = 0, .max = 0.9999999}, beta2);
  f({.key = "eps", .doc = "added to the root of the second moment", .min = 0, .max = 1}, eps);
}

void rate_fields(base::FieldVisitor& f, double& lr, double& weight_decay) {
  f({.key = "lr", .doc = "learning rate", .min = 0, .max = 1e3}, lr);
  f({.key = "weight_decay", .doc = "weight decay", .min = 0, .max = 1e3}, weight_decay);
}

void warmup_fields(base::FieldVisitor& f, std::string& unit, std::int64_t& warmup) {
  f({.key = "unit", .doc = "what t and warmup count", .one_of = {"epoch", "step"}}, unit);
  f({.key = "warmup", .doc = "W, units of linear warm-up", .min = 0, .max = kCount}, warmup);
}

bool distinct(const std::vector<std::int64_t>& values) {
  return std::set<std::int64_t>(values.begin(), values.end()).size() == values.size();
}

// Warm-up has to end before training does. Where the total follows from the data it is checked when
// training starts.
template <class Schedule>
void require_warmup(base::FieldVisitor& f, const Schedule& schedule, const TrainOptions& train) {
  if constexpr (requires { schedule.warmup; }) {
    const bool by_step = schedule.unit == "step";
    const std::int64_t total = by_step ? train.steps : train.steps > 0 ? 0 : train.epochs;
    f.require(schedule.warmup == 0 || total == 0 || schedule.warmup < total, "schedule.warmup",
              fmt::format("must be less than train.{} ({}), got {}", by_step ? "steps" : "epochs",
                          total, schedule.warmup));
  }
}

// Every learned encoder of a model reads an encoding that the recipe computes.
void require_encodings(base::FieldVisitor& f, const std::vector<models::EncoderOptions>& encoders,
                       const std::vector<encode::EncodingOptions>& encodings) {
  std::string known;
  for (const auto& encoding : encodings) {
    known += (known.empty() ? "" : ", ") + std::string(encode::name_of(encoding));
  }
  for (std::size_t i = 0; i < encoders.size(); ++i) {
    const std::string& of = models::encoding_of(encoders[i]);
    const bool computed =
        std::any_of(encodings.begin(), encodings.end(),
                    [&](const auto& encoding) { return encode::name_of(encoding) == of; });
    const bool pairs = of == "laplacian" || of == "hop_distance" || of == "shortest_path";
    const bool rows = std::holds_alternative<models::LinearEncoderOptions>(encoders[i]) ||
                      std::holds_alternative<models::MlpEncoderOptions>(encoders[i]) ||
                      std::holds_alternative<models::EmbeddingEncoderOptions>(encoders[i]);
    f.require(!(rows && pairs), fmt::format("model.encoders[{}].of", i),
              of + " is no row of numbers per node; expected " +
                  (of == "laplacian" ? "kind: deepset with it" : "random_walk or degree"));
    f.require(computed, fmt::format("model.encoders[{}].of", i),
              known.empty() ? fmt::format("{} is not computed; add encode: [{{name: {}}}]", of, of)
                            : fmt::format("{} is not among those under encode ({})", of, known));
  }
}

// What counts hops of paths, or cuts by them, reads no more than are computed.
void require_distances(base::FieldVisitor& f, const models::ModelOptions& model,
                       const std::vector<encode::EncodingOptions>& encodings) {
  const nn::GraphBiasOptions* bias = nullptr;
  if (const auto* gps = model.get_if<models::GpsOptions>(); gps != nullptr && gps->bias) {
    bias = &*gps->bias;
  } else if (const auto* graphormer = model.get_if<models::GraphormerOptions>()) {
    bias = &graphormer->bias;
  }
  if (bias == nullptr) return;
  const std::int64_t most = std::max(bias->cut, bias->path == "multi_hop" ? bias->hops : 0);
  for (std::size_t i = 0; i < encodings.size(); ++i) {
    const auto* hops = std::get_if<encode::HopDistanceOptions>(&encodings[i]);
    f.require(hops == nullptr || hops->max_distance >= most,
              fmt::format("encode[{}].max_distance", i),
              fmt::format("is less than the {} hops that the model's bias counts", most));
  }
}

void require_unique_names(base::FieldVisitor& f,
                          const std::vector<encode::EncodingOptions>& encodings) {
  std::set<std::string_view> seen;
  for (std::size_t i = 0; i < encodings.size(); ++i) {
    const std::string_view name = encode::name_of(encodings[i]);
    f.require(seen.insert(name).second, fmt::format("encode[{}].name", i),
              fmt::format("{} is computed twice; name each encoding once", name));
  }
}

// What a rule asks of the run and of the model's width, as far as that needs no data.
void require_sparsity(base::FieldVisitor& f, const Recipe& recipe) {
  const std::vector<sparsify::Rule>& rules = recipe.sparsify->rules;
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const sparsify::Timing& timing = sparsify::timing_of(rules[i]);
    const std::string at = fmt::format("sparsify.rules[{}]", i);
    const std::int64_t last = std::max(timing.start, timing.end);
    const TrainOptions& train = recipe.train;
    const bool epochs = timing.unit == "epoch";
    f.require(!epochs || train.steps > 0 || last <= train.epochs, at,
              fmt::format("would reach its keep after {} epochs; train.epochs is {}", last,
                          train.epochs));
    f.require(
        epochs || train.steps == 0 || last <= train.steps, at,
        fmt::format("would reach its keep after {} updates; train.steps is {}", last, train.steps));
    const auto* weights = std::get_if<sparsify::WeightRule>(&rules[i]);
    if (weights == nullptr || weights->structure != "2:4" || !weights->of.empty()) continue;
    const std::int64_t width = recipe.model.width().value_or(0);
    f.require(width % 4 == 0, at + ".structure",
              fmt::format("2:4 needs rows of whole fours; model.width is {}", width));
  }
}

}  // namespace

void AdamWOptions::fields(base::FieldVisitor& f) {
  rate_fields(f, lr, weight_decay);
  moment_fields(f, beta1, beta2, eps);
  f({.key = "amsgrad", .doc = "divide by the largest second moment so far (Reddi et al. 2018)"},
    amsgrad);
}

void AdamOptions::fields(base::FieldVisitor& f) {
  rate_fields(f, lr, weight_decay);
  moment_fields(f, beta1, beta2, eps);
  f({.key = "amsgrad", .doc = "divide by the largest second moment so far (Reddi et al. 2018)"},
    amsgrad);
}

void SgdOptions::fields(base::FieldVisitor& f) {
  rate_fields(f, lr, weight_decay);
  f({.key = "momentum", .doc = "momentum", .min = 0, .max = 1}, momentum);
}

void AdagradOptions::fields(base::FieldVisitor& f) {
  rate_fields(f, lr, weight_decay);
  f({.key = "eps", .doc = "added to the root of the sum of squares", .min = 0, .max = 1}, eps);
}

void CosineSchedule::fields(base::FieldVisitor& f) { warmup_fields(f, unit, warmup); }

void LinearSchedule::fields(base::FieldVisitor& f) { warmup_fields(f, unit, warmup); }

void PolynomialSchedule::fields(base::FieldVisitor& f) {
  warmup_fields(f, unit, warmup);
  f({.key = "lr_end", .doc = "learning rate at the end", .min = 0, .max = 1e3}, lr_end);
  f({.key = "power", .doc = "exponent of the decay", .min = 0, .max = 100}, power);
  f({.key = "first",
     .doc = "t of the first epoch or update: 0 starts at rate 0, 1 at lr/W (Graphormer)",
     .min = 0,
     .max = 1},
    first);
}

void StepSchedule::fields(base::FieldVisitor& f) {
  f({.key = "unit", .doc = "what milestones count", .one_of = {"epoch", "step"}}, unit);
  f({.key = "milestones", .doc = "counts at which the rate changes", .min = 0, .max = kCount},
    milestones);
  f({.key = "factor", .doc = "of each change", .min = 0, .max = 1}, factor);
  f.require(!milestones.empty(), "milestones", "must name at least one count");
}

void PlateauSchedule::fields(base::FieldVisitor& f) {
  f({.key = "metric", .doc = "loss or a metric, measured on valid"}, metric);
  f({.key = "factor", .doc = "of each reduction", .min = 0, .max = 1}, factor);
  f({.key = "min_lr", .doc = "the lr is not reduced below", .min = 0, .max = 1e3}, min_lr);
  f({.key = "patience", .doc = "evaluations to wait", .min = 0, .max = kCount}, patience);
  f.require(!metric.empty(), "metric", "must not be empty");
  f.require(factor > 0 && factor < 1, "factor", fmt::format("must be in (0, 1), got {}", factor));
}

void StopOptions::fields(base::FieldVisitor& f) {
  f({.key = "lr_below", .doc = "stop when the lr falls below; 0: never", .min = 0, .max = 1e3},
    lr_below);
  f({.key = "hours", .doc = "stop after this much training time; 0: never", .min = 0, .max = 1e5},
    hours);
  f({.key = "patience",
     .doc = "stop after this many evaluations without improvement on valid; 0: never",
     .min = 0,
     .max = kCount},
    patience);
}

void FlagOptions::fields(base::FieldVisitor& f) {
  f({.key = "steps", .doc = "m, passes over each batch", .min = 1, .max = 1000}, steps);
  f({.key = "size", .doc = "of an ascent step, per entry", .min = 0, .max = 1e3}, size);
  f({.key = "mag",
     .doc = "largest 2-norm of a node's perturbation; 0: no bound",
     .min = 0,
     .max = 1e3},
    mag);
}

void TrainOptions::fields(base::FieldVisitor& f) {
  f({.key = "epochs", .doc = "passes over the training split", .min = 1, .max = kCount}, epochs);
  f({.key = "steps",
     .doc = "stop after this many updates; 0: epochs decide",
     .min = 0,
     .max = 1e12},
    steps);
  f({.key = "loss",
     .doc = "empty: the task's (regression l1, binary and multilabel bce, class cross_entropy)",
     .one_of = {"", "l1", "l2", "smooth_l1", "bce", "cross_entropy", "weighted_cross_entropy"}},
    loss);
  f({.key = "optimizer", .doc = "how gradients become updates"}, optimizer);
  f({.key = "schedule", .doc = "learning rate over time"}, schedule);
  f({.key = "clip_norm",
     .doc = "largest norm of all gradients together; 0: no clipping",
     .min = 0,
     .max = 1e9},
    clip_norm);
  f({.key = "accumulate",
     .doc = "batches per update; their gradients are summed",
     .min = 1,
     .max = 1e6},
    accumulate);
  f({.key = "flag", .doc = "adversarial perturbation of the node vectors (FLAG)"}, flag);
  f({.key = "negatives",
     .doc = "edge_binary tasks: random negatives per positive pair, drawn anew each epoch",
     .min = 1,
     .max = 1000},
    negatives);
  f({.key = "eval_every",
     .doc = "epochs between evaluations; the first and the last epoch are always evaluated",
     .min = 1,
     .max = kCount},
    eval_every);
  f({.key = "save_every", .doc = "epochs between saved states", .min = 1, .max = kCount},
    save_every);
  f({.key = "stop", .doc = "rules that end training early"}, stop);
  std::visit([&](const auto& s) { require_warmup(f, s, *this); }, schedule);
}

void InitOptions::fields(base::FieldVisitor& f) {
  f({.key = "from",
     .doc = "run directory (its selected state) or .safetensors file with the weights",
     .required = true},
    from);
  f({.key = "fresh", .doc = "modules that keep their random start, e.g. head"}, fresh);
  f({.key = "freeze", .doc = "modules whose weights are not trained"}, freeze);
  f.require(!from.empty(), "from", "must not be empty");
}

void RepeatOptions::fields(base::FieldVisitor& f) {
  f({.key = "seeds",
     .doc = "one run per seed; a list, or a range 0..9",
     .min = 0,
     .max = 4294967295},
    seeds);
  f({.key = "folds",
     .doc = "one run per fold and seed; empty: dataset.fold only",
     .min = 0,
     .max = 1e4},
    folds);
  f.require(!seeds.empty(), "seeds", "must name at least one seed");
  f.require(distinct(seeds), "seeds", "names a seed twice");
  f.require(distinct(folds), "folds", "names a fold twice");
}

void PublishedOptions::fields(base::FieldVisitor& f) {
  f({.key = "source", .doc = "where the values were published"}, source);
  f.rest({.key = "<metric>", .doc = "value by metric; also std, runs and parameters"}, values);
}

void Recipe::fields(base::FieldVisitor& f) {
  f({.key = "dataset", .doc = "what to train on", .required = true}, dataset);
  f({.key = "encode", .doc = "encodings computed once per data set and cached"}, encode);
  models::ModelChoice choice(model, *zoo);
  f.choice({.key = "model", .doc = "what to train", .required = true}, choice);
  f({.key = "init", .doc = "weights to start from, instead of random ones"}, init);
  f({.key = "train", .doc = "how to train"}, train);
  f({.key = "sparsify", .doc = "tokens, heads, layers and weights that become fewer"}, sparsify);
  f({.key = "select",
     .doc = "epoch whose metrics count: best on valid, or the last",
     .one_of = {"best", "last"}},
    select);
  f({.key = "repeat", .doc = "runs that are averaged"}, repeat);
  f({.key = "published", .doc = "published result this recipe reproduces"}, published);
  require_unique_names(f, encode);
  if (sparsify) require_sparsity(f, *this);
  if (const auto* encoders = model.encoders()) require_encodings(f, *encoders, encode);
  require_distances(f, model, encode);
  f.require(repeat.folds.empty() || dataset.fold < 0, "repeat.folds",
            "cannot stand beside dataset.fold; say one of them");
}

}  // namespace gtrain::train
