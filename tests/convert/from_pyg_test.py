"""Tests of tools/convert/from_pyg.py on data sets made here."""

import sys
import unittest

import harness

harness.need("numpy", "torch", "torch_geometric")
import from_pyg  # noqa: E402
import torch  # noqa: E402
from torch_geometric.data import Data  # noqa: E402

PATH = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])


class Molecules(list):
    """Like ZINC: one object per split; atom types, bond types, one target."""

    def __init__(self, split, count=2):
        first = {"train": 0, "val": 10, "test": 20}[split]
        super().__init__(
            Data(x=torch.tensor([[first + i], [1], [2]]), edge_index=PATH,
                 edge_attr=torch.tensor([1, 1, 2, 2]), y=torch.tensor([first + i + 0.5]))
            for i in range(count))
        if split == "test":
            self.append(Data(x=torch.tensor([[7]]), edge_index=torch.zeros(2, 0).long(),
                             edge_attr=torch.zeros(0).long(), y=torch.tensor([1.0])))


class Citations(list):
    """Like Planetoid: one graph with masks; `folds` columns."""

    def __init__(self, folds=0, one_way=False):
        train = torch.tensor([True, False, False])
        masks = {"train_mask": train, "val_mask": train.roll(1), "test_mask": train.roll(2)}
        if folds:
            masks["train_mask"] = torch.stack([train] * folds, 1)
            masks["val_mask"] = torch.stack([train.roll(1)] * folds, 1)
        super().__init__([Data(x=torch.tensor([[0.1, 2.0], [0, 1], [1, 0]]), y=torch.tensor(
            [0, 2, 1]), edge_index=PATH[:, :3] if one_way else PATH, **masks)])


class FromPyg(harness.Case):
    def run_on(self, dataset, *options):
        out = self.scratch / "out"
        code = from_pyg.main([str(out), f"{__name__}:{dataset}", *options])
        return code, out

    def test_three_split_objects_become_one_set_with_a_split(self):
        code, out = self.run_on("Molecules", "--splits", "split=train,val,test", "--task",
                                "graph_regression")
        self.assertEqual(code, 0)
        self.assertEqual(harness.indices(out, "official"),
                         {"train": [0, 1], "valid": [2, 3], "test": [4, 5, 6]})
        self.assertEqual(harness.lines(out / "raw/edge.csv.gz")[:2], ["0,1", "1,2"])
        self.assertEqual(harness.lines(out / "raw/edge-feat.csv.gz")[:2], ["1", "2"])
        self.assertEqual(harness.lines(out / "raw/num-edge-list.csv.gz"), ["2"] * 6 + ["0"])
        self.assertEqual(harness.lines(out / "raw/graph-label.csv.gz"),
                         ["0.5", "1.5", "10.5", "11.5", "20.5", "21.5", "1.0"])
        self.assertIn("add_inverse_edge: true\n", (out / "card.yaml").read_text())

    def test_masks_of_a_single_graph_become_its_split(self):
        code, out = self.run_on("Citations", "--task", "node_class")
        self.assertEqual(code, 0)
        self.assertEqual(harness.indices(out, "public"), {"train": [0], "valid": [1], "test": [2]})
        self.assertEqual(harness.lines(out / "raw/node-label.csv.gz"), ["0", "2", "1"])
        self.assertEqual(harness.lines(out / "raw/node-feat.csv.gz")[0], "0.1,2.0")

    def test_mask_columns_become_folds(self):
        code, out = self.run_on("Citations", "folds=2", "--task", "node_class")
        self.assertEqual(code, 0)
        self.assertEqual(sorted(p.name for p in (out / "split").iterdir()), ["split0", "split1"])
        self.assertEqual(harness.indices(out, "split1")["test"], [2])

    def test_one_way_edges_are_stored_as_they_are(self):
        code, out = self.run_on("Citations", "one_way=true", "--task", "node_class")
        self.assertEqual(code, 0)
        self.assertEqual(len(harness.lines(out / "raw/edge.csv.gz")), 3)
        self.assertIn("add_inverse_edge: false\n", (out / "card.yaml").read_text())

    def test_real_labels_for_a_class_task_are_refused(self):
        code, out = self.run_on("Molecules", "--splits", "split=train,val,test", "--task",
                                "graph_class")
        self.assertEqual(code, 3)
        self.assertFalse(out.exists())

    def test_unknown_class_is_refused(self):
        self.assertEqual(self.run_on("Nothing", "--task", "node_class")[0], 3)


if __name__ == "__main__":
    sys.modules[__name__] = sys.modules["__main__"]
    unittest.main()
