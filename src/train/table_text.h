// A filled table as text: Markdown, LaTeX and HTML from one grid of cells, CSV and JSON with every
// digit.
#pragma once

#include <string>
#include <vector>

#include "table_figure.h"

namespace gtrain::train {

struct FilledTable {
  std::string title, split;
  std::vector<RowFigures> rows;
  std::vector<StaleFigures> stale;
};

// `format`: one of table_formats().
std::string table_text(const FilledTable& table, const std::string& format);

std::string table_csv(const FilledTable& table);
std::string table_json(const FilledTable& table);

// "0.1234 ± 0.0045": the deviation to two digits and the mean to as many decimals.
std::string spread_text(const Spread& spread);

}  // namespace gtrain::train
