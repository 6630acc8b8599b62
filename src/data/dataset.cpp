#include "gtrain/data/dataset.h"

#include <fmt/format.h>

#include <array>

#include "gtrain/base/error.h"

namespace gtrain::data {
namespace {

struct Row {
  Task task;
  Level level;
  const char* name;
};

constexpr std::array<Row, 11> kTasks{{
    {Task::kGraphRegression, Level::kGraph, "graph_regression"},
    {Task::kGraphBinary, Level::kGraph, "graph_binary"},
    {Task::kGraphMultilabel, Level::kGraph, "graph_multilabel"},
    {Task::kGraphClass, Level::kGraph, "graph_class"},
    {Task::kGraphSubtoken, Level::kGraph, "graph_subtoken"},
    {Task::kNodeRegression, Level::kNode, "node_regression"},
    {Task::kNodeBinary, Level::kNode, "node_binary"},
    {Task::kNodeClass, Level::kNode, "node_class"},
    {Task::kEdgeRegression, Level::kEdge, "edge_regression"},
    {Task::kEdgeBinary, Level::kEdge, "edge_binary"},
    {Task::kEdgeClass, Level::kEdge, "edge_class"},
}};

const Row& row_of(Task task) {
  for (const Row& row : kTasks) {
    if (row.task == task) return row;
  }
  throw std::logic_error("a task is missing from the table of tasks");
}

}  // namespace

Level level_of(Task task) { return row_of(task).level; }

bool is_class(Task task) {
  return task == Task::kGraphClass || task == Task::kNodeClass || task == Task::kEdgeClass;
}

bool is_binary(Task task) {
  return task == Task::kGraphBinary || task == Task::kGraphMultilabel ||
         task == Task::kNodeBinary || task == Task::kEdgeBinary;
}

bool is_subtoken(Task task) { return task == Task::kGraphSubtoken; }

bool is_regression(Task task) { return !is_class(task) && !is_binary(task) && !is_subtoken(task); }

const char* name_of(Task task) { return row_of(task).name; }

Task task_named(const std::string& name) {
  std::string known;
  for (const Row& row : kTasks) {
    if (name == row.name) return row.task;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", row.name);
  }
  throw base::RecipeError(fmt::format("dataset.task: {}: unknown task; known: {}", name, known));
}

}  // namespace gtrain::data
