// Tables of numbers as OGB writes them: comma-separated, no header, every row equally long. The
// type is that of the whole file, as pandas would choose it: integers in the smallest type that
// holds them, else F32 (each cell correctly rounded from its decimal text). Parsed in parallel; the
// result and the error reported (the first in the file) do not depend on the thread count.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "gtrain/data/column.h"
#include "gtrain/data/gzip.h"

namespace gtrain::data {

struct CsvRules {
  std::string name = {};
  Per per = Per::kNode;
  std::int64_t columns = 0;    // required number of columns; 0: that of the first row
  bool integers = false;       // refuse anything else
  bool allow_missing = false;  // an empty cell (also "", nan, NA, null) becomes NaN
};

// A file without rows gives a column of 0 rows and width `columns`. Throws base::DataError
// `path (row 1042): what was found; expected …`. About 0.5 GB/s a thread on small integers.
Column parse_csv(const Text& text, const std::string& path, const CsvRules& rules);
Column read_csv(const std::filesystem::path& path, const CsvRules& rules);

}  // namespace gtrain::data
