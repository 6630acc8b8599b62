// Line charts as inline SVG text: axes with round ticks, grid, a marked position. Colours are CSS
// classes (s0, s1, …), so that a page can suit light and dark.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace gtrain::train {

struct Series {
  std::string name;
  int colour = 0;                                 // class s<colour>
  std::vector<std::pair<double, double>> points;  // ascending x; NaN y leaves a gap
};

struct Chart {
  std::string title, x_label;
  std::vector<Series> series;
  double marked_x = 0.0;  // 0: none
  std::string mark_label;
};

// Ticks at 1, 2 or 5 times a power of ten, about `wanted` of them, covering [low, high].
std::vector<double> ticks(double low, double high, int wanted);
// A tick's text with as many decimals as the step between ticks needs.
std::string tick_text(double value, double step);

// A <figure>; empty when no series has a point. Values far above the bulk of the curves (first
// epochs) are cut off, so that the rest stays readable.
std::string figure_html(const Chart& chart);

// CSS of pages and pictures: colours for light and dark, tables, what charts are drawn with.
std::string page_style();

std::string escaped(const std::string& text);  // for HTML

}  // namespace gtrain::train
