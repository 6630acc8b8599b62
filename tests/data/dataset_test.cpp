#include "gtrain/data/dataset.h"

#include <gmock/gmock.h>

#include "data/sample.h"

namespace gtrain::data {
namespace {

TEST(Task, NamesRoundTrip) {
  for (const Task task :
       {Task::kGraphRegression, Task::kGraphBinary, Task::kGraphMultilabel, Task::kGraphClass,
        Task::kNodeRegression, Task::kNodeBinary, Task::kNodeClass, Task::kEdgeRegression,
        Task::kEdgeBinary, Task::kEdgeClass}) {
    EXPECT_EQ(task_named(name_of(task)), task);
    EXPECT_EQ(is_class(task) + is_binary(task) + is_regression(task), 1) << name_of(task);
  }
}

TEST(Task, UnknownNameIsARecipeErrorThatListsTheKnown) {
  const std::string message = message_of<base::RecipeError>([] { task_named("graph_regresion"); });
  EXPECT_THAT(message, testing::HasSubstr("graph_regresion"));
  EXPECT_THAT(message, testing::HasSubstr("edge_class"));
}

TEST(Dataset, OutputsAreClassesOrLabelColumns) {
  Dataset d = sample_dataset();
  EXPECT_EQ(d.outputs(), 2);
  d.info.task = Task::kGraphClass;
  d.info.classes = 7;
  EXPECT_EQ(d.outputs(), 7);
}

}  // namespace
}  // namespace gtrain::data
