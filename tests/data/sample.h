// Small OGB-style folders for the tests of the data room, and where the real sets lie.
#pragma once

#include <gtest/gtest.h>
#include <zlib.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "gtrain/base/error.h"
#include "gtrain/data/pack.h"
#include "support/temporary_directory.h"

namespace gtrain::data {

inline void write_text(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

inline std::string gzip(const std::string& text, const char* name = nullptr) {
  z_stream s{};
  deflateInit2(&s, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  gz_header header{};
  if (name != nullptr) {
    header.name = reinterpret_cast<Bytef*>(const_cast<char*>(name));
    deflateSetHeader(&s, &header);
  }
  std::string out(deflateBound(&s, text.size()) + 64, '\0');
  s.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  s.avail_in = static_cast<uInt>(text.size());
  s.next_out = reinterpret_cast<Bytef*>(out.data());
  s.avail_out = static_cast<uInt>(out.size());
  deflate(&s, Z_FINISH);
  out.resize(s.total_out);
  deflateEnd(&s);
  return out;
}

// Three graphs: a path 0-1-2 with a chord 0-2, a single node, and an edge 1-0; each edge once.
inline void write_sample(const std::filesystem::path& folder) {
  const auto raw = folder / "raw";
  write_text(raw / "num-node-list.csv.gz", gzip("3\n1\n2\n"));
  write_text(raw / "num-edge-list.csv.gz", gzip("3\n0\n1\n"));
  write_text(raw / "edge.csv.gz", gzip("0,1\n1,2\n0,2\n1,0\n", "edge.csv"));
  write_text(raw / "node-feat.csv.gz", gzip("0,5\n1,4\n2,3\n3,2\n4,1\n5,0\n"));
  write_text(raw / "edge-feat.csv.gz", gzip("1\n2\n3\n4\n"));
  write_text(raw / "graph-label.csv.gz", gzip("0.5,1\n,2\n-1.5,3\n"));
  const auto split = folder / "split" / "random";
  write_text(split / "train.csv.gz", gzip("2\n"));
  write_text(split / "valid.csv.gz", gzip("0\n"));
  write_text(split / "test.csv.gz", gzip("1\n"));
}

inline PackRules sample_rules() {
  PackRules rules;
  rules.name = "sample";
  rules.task = Task::kGraphRegression;
  rules.metric = "mae";
  rules.add_inverse_edge = true;
  return rules;
}

inline Dataset sample_dataset() {
  const test::TemporaryDirectory directory;
  write_sample(directory.path());
  return pack(read_folder(directory.path(), Level::kGraph), sample_rules());
}

// The message of the error of type E that `run` throws; a test failure when it throws none.
template <class E = base::DataError>
std::string message_of(const std::function<void()>& run) {
  try {
    run();
  } catch (const E& error) {
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

// The folder of real data sets, empty when it is not on this machine.
inline std::filesystem::path real_sets() {
  const char* shared = std::getenv("GTRAIN_SHARED");
  const std::filesystem::path folder =
      (shared != nullptr ? std::filesystem::path(shared)
                         : std::filesystem::path(GTRAIN_SOURCE_DIR) / ".." / "shared") /
      "data";
  return std::filesystem::is_directory(folder) ? folder : std::filesystem::path();
}

template <class T>
std::vector<T> values_of(const Column& column) {
  std::vector<T> values;
  visit(column, [&](const auto* p) {
    for (std::int64_t i = 0; i < column.rows * column.width; ++i) {
      values.push_back(static_cast<T>(p[i]));
    }
  });
  return values;
}

}  // namespace gtrain::data
