#include "gtrain/data/loader.h"

#include <fmt/format.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <span>
#include <utility>

#include "gtrain/base/error.h"
#include "gtrain/base/random.h"

namespace gtrain::data {
namespace {

// One batch on its way. Whoever claims it first collates it: a TBB worker ahead of time, or the
// consumer itself when no worker was free, so waiting can never be for nobody.
class Slot {
 public:
  bool claim() {
    const std::lock_guard lock(mutex_);
    return !std::exchange(claimed_, true);
  }

  template <class F>
  void fill(F make) {
    GraphBatch batch;
    std::exception_ptr error;
    try {
      batch = make();
    } catch (...) {
      error = std::current_exception();
    }
    const std::lock_guard lock(mutex_);
    batch_ = std::move(batch);
    error_ = error;
    done_ = true;
    filled_.notify_all();
  }

  // Prevents a start that has not happened, waits for one that has.
  void retire() {
    std::unique_lock lock(mutex_);
    if (!std::exchange(claimed_, true)) return;
    filled_.wait(lock, [&] { return done_; });
  }

  GraphBatch take() {
    std::unique_lock lock(mutex_);
    filled_.wait(lock, [&] { return done_; });
    if (error_) std::rethrow_exception(error_);
    return std::move(batch_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable filled_;
  bool claimed_ = false;
  bool done_ = false;
  GraphBatch batch_;
  std::exception_ptr error_;
};

}  // namespace

struct Loader::State {
  const Dataset& dataset;
  std::vector<Column> encodings;
  std::vector<std::int64_t> ids;
  LoaderOptions options;

  std::vector<std::int64_t> order;                           // ids in the order of the epoch
  std::vector<std::pair<std::size_t, std::size_t>> batches;  // ranges of `order`
  std::size_t next_to_start = 0;
  std::deque<std::shared_ptr<Slot>> ahead;  // batches [next_to_start - size, next_to_start)

  ~State() { drop(); }

  void drop() {
    for (const auto& slot : ahead) slot->retire();
    ahead.clear();
  }

  void check() const {
    if (ids.empty()) {
      throw base::DataError(fmt::format("{}: no {} to load; expected a split that is not empty",
                                        dataset.info.name,
                                        dataset.single_graph() ? "nodes" : "graphs"));
    }
    if (dataset.single_graph()) return;
    for (const std::int64_t g : ids) {
      if (g < 0 || g >= dataset.graphs()) {
        throw base::DataError(fmt::format("{}: graph {}; expected 0 to {}", dataset.info.name, g,
                                          dataset.graphs() - 1));
      }
      if (options.max_nodes > 0 && dataset.nodes_of(g) > options.max_nodes) {
        throw base::DataError(
            fmt::format("{}: graph {} has {} nodes; expected at most dataset.max_nodes = {}",
                        dataset.info.name, g, dataset.nodes_of(g), options.max_nodes));
      }
    }
  }

  void arrange(std::int64_t epoch) {
    order = ids;
    batches.clear();
    if (dataset.single_graph()) {
      batches.emplace_back(0, order.size());
      return;
    }
    if (options.shuffle) {
      const std::uint64_t key = base::key(options.seed, base::Purpose::kShuffle, epoch);
      const auto chosen = base::Random(key).permutation(static_cast<std::int64_t>(ids.size()));
      for (std::size_t i = 0; i < ids.size(); ++i) {
        order[i] = ids[static_cast<std::size_t>(chosen[i])];
      }
    }
    std::size_t begin = 0;
    std::int64_t nodes = 0;
    for (std::size_t i = 0; i < order.size(); ++i) {
      const std::int64_t more = dataset.nodes_of(order[i]);
      const bool full = i - begin >= static_cast<std::size_t>(options.batch_size) ||
                        (options.max_nodes > 0 && nodes + more > options.max_nodes);
      if (i > begin && full) {
        batches.emplace_back(begin, i);
        begin = i;
        nodes = 0;
      }
      nodes += more;
    }
    batches.emplace_back(begin, order.size());
  }

  GraphBatch make(std::size_t batch) const {
    const auto [begin, end] = batches[batch];
    const std::span<const std::int64_t> part(order.data() + begin, end - begin);
    if (!dataset.single_graph()) return collate(dataset, encodings, part);
    const std::int64_t whole = 0;
    return collate(dataset, encodings, {&whole, 1}, part);
  }

  void start_ahead() {
    const auto most = static_cast<std::size_t>(std::max<std::int64_t>(1, options.prefetch + 1));
    for (; ahead.size() < most && next_to_start < batches.size(); ++next_to_start) {
      auto slot = std::make_shared<Slot>();
      ahead.push_back(slot);
      if (options.prefetch == 0) continue;
      // A task that comes late finds its slot claimed and touches nothing else.
      tbb::task_arena(tbb::task_arena::attach{}).enqueue([this, slot, batch = next_to_start] {
        if (slot->claim()) slot->fill([&] { return make(batch); });
      });
    }
  }
};

Loader::Loader(const Dataset& dataset, std::vector<Column> encodings, std::vector<std::int64_t> ids,
               LoaderOptions options)
    : state_(new State{dataset, std::move(encodings), std::move(ids), options, {}, {}, 0, {}}) {
  state_->check();
  state_->arrange(1);
  state_->next_to_start = state_->batches.size();
}

Loader::~Loader() = default;

void Loader::start_epoch(std::int64_t epoch, std::int64_t first_batch) {
  State& s = *state_;
  s.drop();
  s.arrange(epoch);
  s.next_to_start =
      std::min(static_cast<std::size_t>(std::max<std::int64_t>(0, first_batch)), s.batches.size());
  s.start_ahead();
}

std::optional<GraphBatch> Loader::next() {
  State& s = *state_;
  if (s.ahead.empty()) return std::nullopt;
  const std::size_t batch = s.next_to_start - s.ahead.size();
  const std::shared_ptr<Slot> slot = s.ahead.front();
  s.ahead.pop_front();
  s.start_ahead();
  if (slot->claim()) slot->fill([&] { return s.make(batch); });
  return slot->take();
}

std::int64_t Loader::batches() const { return static_cast<std::int64_t>(state_->batches.size()); }

std::int64_t Loader::graphs() const { return static_cast<std::int64_t>(state_->ids.size()); }

}  // namespace gtrain::data
