#include "gtrain/sparsify/trade_off.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <set>
#include <utility>

#include "gtrain/sparsify/plan.h"

namespace gtrain::sparsify {
namespace {

constexpr double kFine = 0.02;  // between keeps of the search, where a rule acts on no whole things
constexpr int kRounds = 20;
constexpr double kUnspent = 0.01;  // of the budget, that is not worth another search
constexpr double kRaise = 1.05;    // of the aim, at the least

// What a rule at one keep does to the parts.
struct Choice {
  double keep = 1, loss = 0;
  std::vector<double> share, extra;  // of parts the dense model has; of the others
};

std::int64_t whole_things(const Rule& rule, torch::nn::Module& model) {
  if (const auto* layers = std::get_if<LayerRule>(&rule); layers != nullptr) {
    return std::ssize(branches(model, *layers));
  }
  if (!std::holds_alternative<HeadRule>(rule)) return 0;
  std::int64_t most = 0;
  for (const Site& site : sites(model)) most = std::max(most, site.gated->parts().heads);
  return most;
}

// From `most` down to `least`, on multiples of `step`.
std::vector<double> descending(double most, double least, double step) {
  std::vector<double> out{most};
  for (auto i = static_cast<std::int64_t>(std::ceil(most / step)) - 1; i > 0; --i) {
    const double keep = static_cast<double>(i) * step;
    if (keep < most - 1e-9 && keep > least + 1e-9) out.push_back(keep);
  }
  if (least < most) out.push_back(least);
  return out;
}

std::vector<double> keeps(const Rule& rule, torch::nn::Module& model, double step) {
  const double most = most_kept(rule), least = least_kept(rule);
  const std::int64_t things = whole_things(rule, model);
  std::vector<double> out;
  for (const double keep :
       descending(most, least, things > 0 ? 1.0 / static_cast<double>(things) : step)) {
    const double real = effective_keep(rule, keep, model);
    if (things > 0 && !out.empty() && keep == least) break;  // as one thing, which stands already
    if (out.empty() || real < out.back()) out.push_back(real);
  }
  return out;
}

class Search {
 public:
  Search(const PartFlops& dense, const std::vector<Curve>& curves,
         const std::vector<std::vector<double>>& keeps) {
    std::set<std::string> parts;
    for (const auto& [part, _] : dense) parts.insert(part);
    for (const Curve& curve : curves) {
      for (const Trial& trial : curve.trials) {
        for (const auto& [part, _] : trial.flops) parts.insert(part);
      }
    }
    parts_.assign(parts.begin(), parts.end());
    for (const std::string& part : parts_) dense_.push_back(value(dense, part));
    for (std::size_t r = 0; r < curves.size(); ++r) {
      rules_.emplace_back();
      for (const double keep : keeps[r]) rules_.back().push_back(between(curves[r], keep));
    }
    bound();
  }

  // Index of each rule's choice; nothing where none meets `aim` FLOPs.
  std::optional<std::vector<std::size_t>> best(double aim) {
    aim_ = aim;
    least_ = std::numeric_limits<double>::infinity();
    found_.reset();
    now_.assign(rules_.size(), 0);
    descend(0, 0, dense_, std::vector<double>(dense_.size(), 0));
    return found_;
  }

  double dense() const { return sum(dense_); }
  double loss() const { return least_; }  // of the choices that were found last
  double keep(std::size_t rule, std::size_t choice) const { return rules_[rule][choice].keep; }

 private:
  static double value(const PartFlops& flops, const std::string& part) {
    const auto it = flops.find(part);
    return it == flops.end() ? 0 : it->second;
  }

  static double sum(const std::vector<double>& values) {
    double out = 0;
    for (const double v : values) out += v;
    return out;
  }

  // At `keep`, between the two trials around it; its loss never below that of a larger keep.
  Choice between(const Curve& curve, double keep) const {
    const std::vector<Trial>& t = curve.trials;
    std::size_t low = 0;  // the first trial at or below keep
    double rising = 0;
    while (low + 1 < t.size() && t[low].keep > keep + 1e-9) {
      rising = std::max(rising, t[low].loss);
      ++low;
    }
    const std::size_t high = low == 0 ? 0 : low - 1;
    const double gap = t[high].keep - t[low].keep;
    const double w = gap > 0 ? std::clamp((t[high].keep - keep) / gap, 0.0, 1.0) : 1;  // of low
    Choice out{keep, 0, {}, {}};
    const double below = std::max({0.0, rising, t[low].loss});
    out.loss = low == 0 ? std::max(0.0, t[0].loss) : (1 - w) * std::max(0.0, rising) + w * below;
    for (std::size_t p = 0; p < parts_.size(); ++p) {
      const double flops =
          (1 - w) * value(t[high].flops, parts_[p]) + w * value(t[low].flops, parts_[p]);
      out.share.push_back(dense_[p] > 0 ? flops / dense_[p] : 0);
      out.extra.push_back(dense_[p] > 0 ? 0 : flops);
    }
    return out;
  }

  // The least that the rules from r on can leave of each part. They may lose nothing.
  void bound() {
    floor_.assign(rules_.size() + 1, std::vector<double>(dense_.size(), 1));
    for (std::size_t r = rules_.size(); r-- > 0;) {
      for (std::size_t p = 0; p < dense_.size(); ++p) {
        double least = std::numeric_limits<double>::infinity();
        for (const Choice& c : rules_[r]) least = std::min(least, c.share[p]);
        floor_[r][p] = floor_[r + 1][p] * least;
      }
    }
  }

  void descend(std::size_t r, double loss, const std::vector<double>& left,
               const std::vector<double>& extra) {
    double floor = sum(extra);
    for (std::size_t p = 0; p < left.size(); ++p) floor += left[p] * floor_[r][p];
    if (floor > aim_) return;
    if (r == rules_.size()) {
      least_ = loss;
      found_ = now_;
      return;
    }
    // Choices remove more and more: where losses are equal, the first that is found removes least.
    for (std::size_t c = 0; c < rules_[r].size(); ++c) {
      const Choice& choice = rules_[r][c];
      if (loss + choice.loss >= least_) break;
      now_[r] = c;
      std::vector<double> next = left, more = extra;
      for (std::size_t p = 0; p < left.size(); ++p) {
        next[p] *= choice.share[p];
        more[p] += choice.extra[p];
      }
      descend(r + 1, loss + choice.loss, next, more);
    }
  }

  std::vector<std::string> parts_;
  std::vector<double> dense_;
  std::vector<std::vector<Choice>> rules_;
  std::vector<std::vector<double>> floor_;
  double aim_ = 0, least_ = 0;
  std::vector<std::size_t> now_;
  std::optional<std::vector<std::size_t>> found_;
};

}  // namespace

std::vector<double> keeps_to_try(const Rule& rule, torch::nn::Module& model) {
  return keeps(rule, model, 0.1);
}

Division divide(const Options& options, torch::nn::Module& model, const Left& left,
                const PartFlops& dense, const std::vector<Curve>& curves) {
  check_reachable(options, model, left);
  const double budget = *options.flops;
  std::vector<std::vector<double>> grid;
  for (const Rule& rule : options.rules) grid.push_back(keeps(rule, model, kFine));
  Search search(dense, curves, grid);
  std::optional<Options> best;
  double least = std::numeric_limits<double>::infinity();   // predicted loss of `best`
  double met = 0;                                           // the highest aim that met the budget
  double missed = std::numeric_limits<double>::infinity();  // the lowest that did not
  double aim = budget * search.dense();
  for (int round = 0; round < kRounds && missed - met > kUnspent * met; ++round) {
    const auto found = search.best(aim);
    if (!found) break;
    double real = budget;  // what is no better than the best so far may as well fit
    if (search.loss() < least) {
      Options out;
      out.rules = options.rules;
      for (std::size_t r = 0; r < out.rules.size(); ++r) {
        timing_of(out.rules[r]).keep = search.keep(r, (*found)[r]);
      }
      real = left(out.rules);
      if (real <= budget * (1 + 1e-12)) {
        least = search.loss();
        best = std::move(out);
        if (real >= budget * (1 - kUnspent)) break;
      }
    }
    const bool fits = real <= budget * (1 + 1e-12);
    (fits ? met : missed) = aim;
    if (met > 0 && std::isfinite(missed)) {
      aim = (met + missed) / 2;
    } else {
      aim *= fits ? std::max(kRaise, budget / real) : budget / real * (1 - 1e-3);
    }
  }
  if (best) return {priced(options, std::move(*best), model, left), false};
  return {spend(options, model, left), true};
}

}  // namespace gtrain::sparsify
