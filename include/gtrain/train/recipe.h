// A recipe as a value: everything that defines a run. Decoded from YAML by train/recipe_file.h,
// handed to the trainer; nothing else configures a run, and no component sees the whole of it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gtrain/base/option.h"
#include "gtrain/data/open.h"
#include "gtrain/encode/encoding.h"
#include "gtrain/models/zoo.h"
#include "gtrain/sparsify/rule.h"

namespace gtrain::train {

struct AdamWOptions {
  static constexpr std::string_view kName = "adamw";
  static constexpr std::string_view kDoc = "Adam with decoupled weight decay (Loshchilov & Hutter)";
  double lr = 1e-3, weight_decay = 0.0, beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  bool amsgrad = false;
  void fields(base::FieldVisitor& f);
};
struct AdamOptions {
  static constexpr std::string_view kName = "adam";
  static constexpr std::string_view kDoc = "Adam with L2 regularisation";
  double lr = 1e-3, weight_decay = 0.0, beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  bool amsgrad = false;
  void fields(base::FieldVisitor& f);
};
struct SgdOptions {
  static constexpr std::string_view kName = "sgd";
  static constexpr std::string_view kDoc = "stochastic gradient descent with momentum";
  double lr = 1e-2, weight_decay = 0.0, momentum = 0.9;
  void fields(base::FieldVisitor& f);
};
struct AdagradOptions {
  static constexpr std::string_view kName = "adagrad";
  static constexpr std::string_view kDoc = "Adagrad";
  double lr = 1e-2, weight_decay = 0.0, eps = 1e-10;
  void fields(base::FieldVisitor& f);
};
using OptimizerOptions = std::variant<AdamWOptions, AdamOptions, SgdOptions, AdagradOptions>;

// Learning-rate schedules: a factor on the optimizer's lr as a function of the epoch or update
// (unit), counted from 0. Warm-up rises linearly over `warmup` units.
struct ConstantSchedule {
  static constexpr std::string_view kName = "constant";
  static constexpr std::string_view kDoc = "the optimizer's lr throughout";
  void fields(base::FieldVisitor&) {}
};
struct CosineSchedule {
  static constexpr std::string_view kName = "cosine";
  static constexpr std::string_view kDoc =
      "warm-up max(1e-6, t/W), then max(0, (1 + cos(pi (t-W)/(T-W)))/2)";
  std::string unit = "epoch";
  std::int64_t warmup = 0;
  void fields(base::FieldVisitor& f);
};
struct LinearSchedule {
  static constexpr std::string_view kName = "linear";
  static constexpr std::string_view kDoc = "warm-up max(1e-6, t/W), then (T-t)/(T-W)";
  std::string unit = "epoch";
  std::int64_t warmup = 0;
  void fields(base::FieldVisitor& f);
};
struct PolynomialSchedule {
  static constexpr std::string_view kName = "polynomial";
  static constexpr std::string_view kDoc =
      "warm-up t/W, then (lr - lr_end)(1 - (t-W)/(T-W))^power + lr_end";
  std::string unit = "epoch";
  std::int64_t warmup = 0;
  double lr_end = 1e-7, power = 1.0;
  std::int64_t first = 0;  // t of the first epoch or update: GraphGPS 0, Graphormer 1
  void fields(base::FieldVisitor& f);
};
struct StepSchedule {
  static constexpr std::string_view kName = "step";
  static constexpr std::string_view kDoc = "lr *= factor at each of the milestones";
  std::string unit = "epoch";
  std::vector<std::int64_t> milestones;
  double factor = 0.1;
  void fields(base::FieldVisitor& f);
};
struct PlateauSchedule {
  static constexpr std::string_view kName = "plateau";
  static constexpr std::string_view kDoc =
      "lr *= factor after `patience` evaluations without improvement of `metric` on valid";
  std::string metric = "loss";
  double factor = 0.5, min_lr = 0.0;
  std::int64_t patience = 10;
  void fields(base::FieldVisitor& f);
};
using ScheduleOptions = std::variant<ConstantSchedule, CosineSchedule, LinearSchedule,
                                     PolynomialSchedule, StepSchedule, PlateauSchedule>;

struct StopOptions {
  double lr_below = 0.0;      // stop when the lr falls below; 0: never
  double hours = 0.0;         // stop after this much training time; 0: never
  std::int64_t patience = 0;  // stop after this many evaluations without improvement; 0: never
  void fields(base::FieldVisitor& f);
};

// FLAG (Kong et al. 2020): each batch is passed `steps` times with a perturbation of its node
// vectors that climbs the loss (train/flag.h).
struct FlagOptions {
  std::int64_t steps = 3;  // m
  double size = 1e-3;      // of a step, per entry
  double mag = 0.0;        // bound of a node's perturbation in the 2-norm; 0: none
  void fields(base::FieldVisitor& f);
};

struct TrainOptions {
  std::int64_t epochs = 100;
  std::int64_t steps = 0;  // stop after this many updates; 0: epochs decide
  std::string loss;        // empty: the task's (l1, bce, cross_entropy)
  OptimizerOptions optimizer;
  ScheduleOptions schedule;
  double clip_norm = 0.0;       // 0: no clipping
  std::int64_t accumulate = 1;  // batches per update (gradients are summed)
  std::optional<FlagOptions> flag;
  // Edge tasks whose files list positives: random negatives per positive pair (train/pair.h).
  std::optional<std::int64_t> negatives;
  std::int64_t eval_every = 1;  // epochs; the first and the last epoch are always evaluated
  std::int64_t save_every = 1;  // epochs between saved states
  StopOptions stop;
  void fields(base::FieldVisitor& f);
};

// Weights to start from instead of random ones (train/origin.h). Read at the first step only.
struct InitOptions {
  std::string from;                 // a run directory or a .safetensors file
  std::vector<std::string> fresh;   // modules that stay random: "head", "layer_0.norm_out"
  std::vector<std::string> freeze;  // modules that are not trained
  void fields(base::FieldVisitor& f);
};

struct RepeatOptions {
  std::vector<std::int64_t> seeds{0};
  std::vector<std::int64_t> folds;  // empty: dataset.fold only
  void fields(base::FieldVisitor& f);
};

struct PublishedOptions {
  std::map<std::string, double> values;  // by metric name, with std, runs, parameters beside it
  std::string source;
  void fields(base::FieldVisitor& f);
};

struct Recipe {
  data::DatasetOptions dataset;
  std::vector<encode::EncodingOptions> encode;
  models::ModelOptions model;
  std::optional<InitOptions> init;
  TrainOptions train;
  std::optional<sparsify::Options> sparsify;
  std::string select = "best";
  RepeatOptions repeat;
  std::optional<PublishedOptions> published;
  const models::Zoo* zoo = &models::zoo();  // what `model` may name; not part of the file
  void fields(base::FieldVisitor& f);
};

}  // namespace gtrain::train
