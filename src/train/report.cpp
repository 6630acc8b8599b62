#include "gtrain/train/report.h"

#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <sstream>
#include <utility>
#include <vector>

#include "chart.h"
#include "gtrain/base/durable.h"
#include "gtrain/base/error.h"
#include "progress_line.h"
#include "redundancy_html.h"
#include "result.h"

namespace gtrain::train {
namespace {

namespace fs = std::filesystem;

std::vector<Json> metric_lines(const fs::path& directory) {
  std::vector<Json> out;
  const fs::path path = directory / "metrics.jsonl";
  if (!fs::exists(path)) return out;
  std::istringstream text(base::read_file(path));
  for (std::string line; std::getline(text, line);) {
    if (std::optional<Json> json = metrics_of(line)) out.push_back(std::move(*json));
  }
  return out;
}

double number(const Json& json, const std::string& key) {
  const auto it = json.find(key);
  return it != json.end() && it->is_number() ? it->get<double>() : std::nan("");
}

Series series_of(const std::vector<Json>& lines, const std::string& split, const std::string& key,
                 int colour) {
  Series s{split, colour, {}};
  for (const Json& line : lines) {
    if (line.at("split") != split || !line.contains(key)) continue;
    s.points.emplace_back(number(line, "epoch"), number(line, key));
  }
  return s;
}

std::string value_text(const Json& v) {
  return v.is_number() ? fmt::format("{:.5g}", v.get<double>()) : std::string("–");
}

// The summary of runs that all failed names no metric.
std::string metric_of(const Json& result) {
  const auto it = result.find("metric");
  return it != result.end() && it->is_string() ? it->get<std::string>() : "";
}

// A row per metric, a column per split.
std::string figures_table(const Json& result) {
  std::string head, rows;
  std::vector<std::string> splits, names;
  for (const char* split : {"train", "valid", "test"}) {
    if (!result.contains(split)) continue;
    splits.push_back(split);
    head += fmt::format("<th>{}</th>", split);
    if (!names.empty()) continue;
    for (const auto& [name, _] : result[split].items()) names.push_back(name);
  }
  for (const std::string& name : names) {
    rows += fmt::format("<tr><td>{}</td>", escaped(name));
    for (const std::string& split : splits) {
      const Json& v = result[split].contains(name) ? result[split][name] : Json();
      const bool summary = v.is_object();
      rows += fmt::format("<td>{}{}</td>", value_text(summary ? v.value("mean", Json()) : v),
                          summary && v.contains("std") && v["std"].is_number()
                              ? fmt::format(" ± {:.2g}", v["std"].get<double>())
                              : "");
    }
    rows += "</tr>";
  }
  return splits.empty() ? "" : fmt::format("<table><tr><th></th>{}</tr>{}</table>\n", head, rows);
}

std::string fact(const std::string& name, const std::string& value) {
  return fmt::format("<div><dt>{}</dt><dd>{}</dd></div>", name, escaped(value));
}

std::string facts(const Json& result) {
  std::string out = fact("status", result.value("status", "running"));
  const auto whole = [&](const char* key, const char* name) {
    if (result.contains(key) && result[key].is_number()) out += fact(name, result[key].dump());
  };
  whole("best_epoch", "best epoch");
  whole("epochs", "epochs");
  whole("parameters", "parameters");
  whole("seed", "seed");
  if (result.contains("seconds")) out += fact("time", duration_text(number(result, "seconds")));
  if (result.contains("graphs_per_second")) {
    out += fact("graphs/s", fmt::format("{:.0f}", number(result, "graphs_per_second")));
  }
  if (result.contains("flops_per_graph")) {
    out += fact("FLOPs a graph", fmt::format("{:.3g}", number(result, "flops_per_graph")));
  }
  if (result.contains("sparse_flops_per_graph")) {
    out += fact("made sparse", fmt::format("{:.3g}", number(result, "sparse_flops_per_graph")));
  }
  if (result.contains("peak_rss_bytes")) {
    out += fact("memory", fmt::format("{:.0f} MiB", number(result, "peak_rss_bytes") / 1048576.0));
  }
  return fmt::format("<dl class='facts'>{}</dl>\n", out);
}

std::string charts_of_run(const fs::path& directory, const Json& result) {
  const std::vector<Json> lines = metric_lines(directory);
  const std::string metric = metric_of(result);
  const double best = result.value("best_epoch", 0);
  const std::string mark = best > 0 ? fmt::format("best: epoch {}", best) : "";
  std::string out;
  const auto draw = [&](const std::string& title, const std::string& key, bool all) {
    Chart chart{title, "epoch", {}, best, mark};
    chart.series.push_back(series_of(lines, "train", key, 0));
    if (all) {
      chart.series.push_back(series_of(lines, "valid", key, 1));
      chart.series.push_back(series_of(lines, "test", key, 2));
    } else {
      chart.series.back().name.clear();
    }
    out += figure_html(chart);
  };
  if (!metric.empty()) draw(metric, metric, true);
  draw("loss", "loss", true);
  draw("learning rate", "lr", false);
  draw("graphs per second, training", "graphs_per_second", false);
  Chart flops{"FLOPs a graph, made sparse", "epoch", {}, best, mark};
  for (const char* split : {"valid", "test"}) {
    flops.series.push_back(
        series_of(lines, split, "sparse_flops_per_graph", split[0] == 'v' ? 1 : 2));
  }
  out += figure_html(flops);
  return fmt::format("<div class='charts'>{}</div>\n", out);
}

std::string charts_of_members(const fs::path& directory, const Json& summary) {
  const std::string metric = metric_of(summary);
  std::string out;
  for (const char* split : {"valid", "train", "test"}) {
    Chart chart{fmt::format("{} {}", split, metric), "epoch", {}, 0.0, ""};
    int colour = 0;
    for (const Json& name : summary.value("runs", Json::array())) {
      Series s =
          series_of(metric_lines(directory / name.get<std::string>()), split, metric, colour++ % 8);
      s.name = name;
      chart.series.push_back(std::move(s));
    }
    out += figure_html(chart);
  }
  return fmt::format("<div class='charts'>{}</div>\n", out);
}

std::string members_table(const fs::path& directory, const Json& summary) {
  std::string rows;
  const std::string metric = metric_of(summary);
  for (const Json& name : summary.value("runs", Json::array())) {
    const std::string run = name;
    const Json result = read_json(directory / run / "result.json");
    rows += fmt::format("<tr><td><a href='{0}/report.html'>{0}</a></td>", escaped(run));
    for (const char* split : {"train", "valid", "test"}) {
      rows += fmt::format("<td>{}</td>", result.contains(split)
                                             ? value_text(result[split].value(metric, Json()))
                                             : "–");
    }
    rows += "</tr>";
  }
  for (const Json& f : summary.value("failed", Json::array())) {
    rows += fmt::format("<tr><td>{}</td><td colspan=3>{}</td></tr>", escaped(f.value("run", "")),
                        escaped(f.value("status", "")));
  }
  return fmt::format(
      "<table><tr><th>{}</th><th>train</th><th>valid</th><th>test</th></tr>{}</table>\n",
      escaped(metric), rows);
}

std::string versions_line(const Json& result) {
  std::string out;
  if (!result.contains("versions")) return out;
  for (const auto& [name, value] : result["versions"].items()) {
    out += fmt::format("{}{} {}", out.empty() ? "" : " · ", name,
                       value.is_string() ? value.get<std::string>() : value.dump());
  }
  return fmt::format("<p class='sub'>{}</p>\n", escaped(out));
}

}  // namespace

void write_report(const fs::path& directory) {
  const fs::path result_path = directory / "result.json", summary_path = directory / "summary.json";
  const bool several = fs::exists(summary_path);
  if (!several && !fs::exists(directory / "recipe.yaml")) {
    throw base::DataError(
        fmt::format("{}: holds no run; expected recipe.yaml", directory.string()));
  }
  const Json result = several                   ? read_json(summary_path)
                      : fs::exists(result_path) ? read_json(result_path)
                                                : Json::object();
  const std::string name = fs::absolute(directory).lexically_normal().filename().string();
  std::string body = fmt::format("<h1>{}</h1>\n", escaped(name));
  if (several) {
    body += fmt::format("<p class='sub'>{} runs: mean ± unbiased deviation</p>\n",
                        result.value("n", Json(0)).dump());
    body += figures_table(result) + "<h2>Runs</h2>\n" + members_table(directory, result);
    body += "<h2>Curves</h2>\n" + charts_of_members(directory, result);
  } else {
    if (result.contains("problem")) {
      body += fmt::format("<p>{}</p>\n", escaped(result["problem"].get<std::string>()));
    }
    body += facts(result) + figures_table(result);
    body += "<h2>Curves</h2>\n" + charts_of_run(directory, result);
    const fs::path redundancy = directory / "redundancy.json";
    if (fs::exists(redundancy)) body += redundancy_html(read_json(redundancy));
  }
  if (fs::exists(directory / "recipe.yaml")) {
    body += fmt::format("<h2>Recipe</h2>\n<pre>{}</pre>\n",
                        escaped(base::read_file(directory / "recipe.yaml")));
  }
  body += versions_line(result);
  base::write_durable(
      directory / "report.html",
      fmt::format("<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
                  "<meta name='viewport' content='width=device-width,initial-scale=1'>"
                  "<title>{}</title><style>{}{}</style></head>\n<body>\n{}</body></html>\n",
                  escaped(name), page_style(), kRedundancyStyle, body));
}

}  // namespace gtrain::train
