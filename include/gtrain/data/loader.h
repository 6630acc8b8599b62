// Batches of a split in a reproducible order: the order is a function of (seed, epoch) alone,
// batches are collated ahead by TBB tasks and handed out in order, and a run can resume at any
// batch of an epoch. Single-graph node tasks give one batch, the whole graph, with the split's
// rows.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "gtrain/data/batch.h"

namespace gtrain::data {

struct LoaderOptions {
  std::int64_t batch_size = 32;  // graphs a batch
  std::int64_t max_nodes = 0;    // close a batch before its nodes exceed this; 0: no budget
  bool shuffle = false;
  std::uint64_t seed = 0;
  std::int64_t prefetch = 4;  // batches collated ahead
};

class Loader {
 public:
  // The data set and the columns must outlive the loader. Throws base::DataError when a single
  // graph exceeds max_nodes, naming it, or when `ids` is empty.
  Loader(const Dataset& dataset, std::vector<Column> encodings, std::vector<std::int64_t> ids,
         LoaderOptions options);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  void start_epoch(std::int64_t epoch, std::int64_t first_batch = 0);  // epochs count from 1
  std::optional<GraphBatch> next();  // nullopt at the end of the epoch; rethrows a task's error
  std::int64_t batches() const;      // of the started epoch
  std::int64_t graphs() const;       // ids handed out per epoch

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace gtrain::data
