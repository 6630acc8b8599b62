#include "redundancy_html.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "chart.h"

namespace gtrain::train {
namespace {

constexpr std::size_t kShown = 8;  // types and degrees of a place

// A damaged file draws an empty part of the page, not an error.
Json list_in(const Json& json, const char* key) {
  const auto it = json.find(key);
  return it != json.end() && it->is_array() ? *it : Json::array();
}

std::string text_in(const Json& json, const char* key) {
  const auto it = json.find(key);
  return it != json.end() && it->is_string() ? escaped(it->get<std::string>()) : "";
}

double number_in(const Json& json, const char* key) {
  const auto it = json.find(key);
  return it != json.end() && it->is_number() ? it->get<double>() : 0;
}

std::string percent(double part, double whole) {
  return whole > 0 ? fmt::format("{:.0f} %", 100 * part / whole) : "–";
}

// "open", or the epoch it closed after; with the probability where gates learn.
std::string state_cell(const Json& open, const Json& since, const Json& probability) {
  const bool is_open = open.is_boolean() && open.get<bool>();
  std::string text = is_open ? "open" : since.is_number() ? "epoch " + since.dump() : "closed";
  if (probability.is_number()) {
    text += fmt::format("<br><small>p {:.2f}</small>", probability.get<double>());
  }
  return fmt::format("<td class='{}'>{}</td>", is_open ? "alive" : "gone", text);
}

Json at_or_null(const Json& list, std::size_t i) {
  return list.is_array() && i < list.size() ? list[i] : Json(nullptr);
}

std::string heads_html(const Json& heads) {
  std::string rows;
  for (const Json& one : heads) {
    std::string cells;
    const Json open = list_in(one, "open"), since = list_in(one, "closed_after_epoch"),
               probability = list_in(one, "probability");
    for (std::size_t h = 0; h < open.size(); ++h) {
      cells += state_cell(open[h], at_or_null(since, h), at_or_null(probability, h));
    }
    rows += fmt::format("<tr><td>{}</td>{}</tr>", text_in(one, "of"), cells);
  }
  return rows.empty() ? ""
                      : fmt::format(
                            "<h3>Heads, and the epoch after which each closed for good</h3>"
                            "<table class='switches'>{}</table>\n",
                            rows);
}

std::string branches_html(const Json& branches) {
  std::string rows;
  for (const Json& one : branches) {
    rows +=
        fmt::format("<tr><td>{}</td>{}</tr>", text_in(one, "of"),
                    state_cell(one.value("open", Json()), one.value("closed_after_epoch", Json()),
                               one.value("probability", Json())));
  }
  return rows.empty() ? ""
                      : fmt::format("<h3>Branches</h3><table class='switches'>{}</table>\n", rows);
}

std::string weights_html(const Json& weights) {
  std::string rows;
  for (const Json& one : weights) {
    const double living = number_in(one, "living"), all = number_in(one, "all");
    rows += fmt::format(
        "<tr><td>{}</td><td>{:.0f}</td><td>{}</td><td class='bar'><i style='width:{:.1f}%'></i>"
        "</td></tr>",
        text_in(one, "of"), all, percent(living, all), all > 0 ? 100 * living / all : 0);
  }
  return rows.empty() ? ""
                      : fmt::format(
                            "<h3>Weights that live</h3><table><tr><th></th><th>weights</th>"
                            "<th>living</th><th></th></tr>{}</table>\n",
                            rows);
}

// Kinds by the number of their nodes, most first; each with the share that leaves.
std::string kinds_text(Json kinds, const char* key) {
  std::stable_sort(kinds.begin(), kinds.end(), [](const Json& a, const Json& b) {
    return number_in(a, "nodes") > number_in(b, "nodes");
  });
  std::string out;
  for (std::size_t i = 0; i < std::min(kShown, kinds.size()); ++i) {
    out += fmt::format("{}{:.0f}: {}", out.empty() ? "" : " · ", number_in(kinds[i], key),
                       percent(number_in(kinds[i], "left"), number_in(kinds[i], "nodes")));
  }
  return out;
}

std::string nodes_html(const Json& nodes) {
  if (!nodes.is_object()) return "";
  std::string rows;
  for (const Json& place : list_in(nodes, "places")) {
    rows +=
        fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>", text_in(place, "of"),
                    percent(number_in(place, "left"), number_in(place, "nodes")),
                    kinds_text(list_in(place, "by_type"), "type"),
                    kinds_text(list_in(place, "by_degree"), "degree"));
  }
  return fmt::format(
      "<h3>Nodes that leave, split {}</h3><table class='nodes'><tr><th></th><th>all</th>"
      "<th>of the types (most frequent first)</th><th>of the degrees</th></tr>{}</table>\n",
      text_in(nodes, "split"), rows);
}

}  // namespace

const char* const kRedundancyStyle = R"css(
h3{font-size:1rem;margin:1.2rem 0 .4rem}.switches td{padding:.2rem .7rem;text-align:center}
.switches td.gone{color:var(--soft);background:color-mix(in srgb,var(--fg) 7%,var(--bg))}
.switches td.alive{background:color-mix(in srgb,var(--c2) 18%,var(--bg))}
.bar{width:12rem}.bar i{display:block;height:.7rem;background:var(--c0)}
.nodes td,.nodes th{text-align:left;padding-right:1.4rem}
)css";

std::string redundancy_html(const Json& redundancy) {
  const std::string body =
      heads_html(list_in(redundancy, "heads")) + branches_html(list_in(redundancy, "branches")) +
      weights_html(list_in(redundancy, "weights")) + nodes_html(redundancy.value("nodes", Json()));
  return body.empty() ? "" : "<h2>What went first</h2>\n" + body;
}

}  // namespace gtrain::train
