"""Tests of tools/convert/folder.py."""

import unittest

import harness

harness.need("numpy")
import folder  # noqa: E402
import numpy as np  # noqa: E402

SPLIT = {"random": {"train": [1], "valid": [], "test": [0]}}
CARD = {"name": "x", "task": "graph_regression", "metric": "mae", "add_inverse_edge": True}


def graph(nodes=2, edges=((0, 1),), label=(0.5,), **changes):
    values = dict(
        nodes=nodes, edges=np.array(edges, dtype=np.int64).reshape(-1, 2),
        node_feat=np.arange(nodes, dtype=np.int64)[:, None], edge_feat=None,
        label=np.array(label))
    return folder.Graph(**{**values, **changes})


class WriteFolder(harness.Case):
    def write(self, graphs, splits=SPLIT, **card):
        out = self.scratch / "out"
        folder.write_folder(out, graphs, splits, {**CARD, **card}, ["a note"])
        return out

    def refused(self, message, graphs, splits=SPLIT, **card):
        with self.assertRaisesRegex(folder.ConvertError, message):
            self.write(graphs, splits, **card)
        self.assertEqual(list(self.scratch.iterdir()), [])

    def test_files_hold_the_graphs_one_after_another(self):
        out = self.write([graph(), graph(nodes=3, edges=[(0, 1), (2, 1)], label=[-1.25])])
        self.assertEqual(harness.lines(out / "raw/num-node-list.csv.gz"), ["2", "3"])
        self.assertEqual(harness.lines(out / "raw/num-edge-list.csv.gz"), ["1", "2"])
        self.assertEqual(harness.lines(out / "raw/edge.csv.gz"), ["0,1", "0,1", "2,1"])
        self.assertEqual(harness.lines(out / "raw/node-feat.csv.gz"), ["0", "1", "0", "1", "2"])
        self.assertEqual(harness.lines(out / "raw/graph-label.csv.gz"), ["0.5", "-1.25"])
        self.assertFalse((out / "raw/edge-feat.csv.gz").exists())
        self.assertEqual(harness.indices(out, "random"), SPLIT["random"])
        self.assertIn("# a note\nname: x\n", (out / "card.yaml").read_text())
        self.assertIn("graphs: 2\nnodes: 5\nedges: 3\n", (out / "card.yaml").read_text())

    def test_same_input_gives_the_same_bytes_without_time_or_name(self):
        first = self.write([graph(), graph()])
        first = first.rename(self.scratch / "first")
        second = self.write([graph(), graph()])
        self.assertEqual((first / "SHA256SUMS").read_bytes(), (second / "SHA256SUMS").read_bytes())
        head = (first / "raw/edge.csv.gz").read_bytes()[:8]
        self.assertEqual(head[3:8], b"\0\0\0\0\0")  # no flags (name), time 0

    def test_numbers_read_back_as_they_were_and_missing_ones_are_empty(self):
        values = [0.1, -9.280000000000001, float("nan"), 1e-300]
        self.assertEqual(folder.csv_text(np.array([values])), "0.1,-9.280000000000001,,1e-300\n")
        single = np.array([[np.float32(0.1)]], dtype=np.float32)
        self.assertEqual(folder.csv_text(single), "0.1\n")

    def test_an_existing_folder_is_left_alone(self):
        out = self.write([graph(), graph()])
        before = (out / "card.yaml").read_bytes()
        with self.assertRaisesRegex(folder.ConvertError, "exists already"):
            self.write([graph(), graph(label=[9.0])])
        self.assertEqual((out / "card.yaml").read_bytes(), before)

    def test_wrong_input_is_named_and_nothing_is_written(self):
        self.refused("no graphs", [])
        self.refused("graph 1: an edge end outside 0..1", [graph(), graph(edges=[(0, 2)])])
        self.refused("graph 0: an edge end outside", [graph(edges=[(-1, 0)]), graph()])
        self.refused("graph 1: node_feat has shape", [graph(), graph(node_feat=np.zeros((3, 1)))])
        self.refused("node_feat present in some", [graph(), graph(node_feat=None)])
        self.refused("NaN", [graph(node_feat=np.full((2, 1), np.nan)), graph()])
        self.refused("label has shape", [graph(), graph(label=[1.0, 2.0])])
        self.refused("a class task has one", [graph(label=[1, 2])], task="graph_class")
        self.refused("task nonsense: unknown", [graph()], task="nonsense")

    def test_wrong_splits_are_refused(self):
        two = [graph(), graph()]
        self.refused("twice", two, {"s": {"train": [0], "valid": [0], "test": [1]}})
        self.refused("outside 0..1", two, {"s": {"train": [0], "valid": [2], "test": [1]}})
        self.refused("expected train, valid, test", two, {"s": {"train": [0]}})


class UndirectedOnce(unittest.TestCase):
    def test_keeps_one_direction_where_every_edge_has_its_reverse(self):
        edges = np.array([[1, 0], [0, 1], [1, 2], [2, 1]])
        self.assertEqual(folder.undirected_once(edges, None).tolist(), [0, 2])

    def test_refuses_one_way_edges_loops_repeats_and_unequal_features(self):
        for edges in ([[0, 1]], [[0, 0]], [[0, 1], [1, 0], [0, 1]]):
            self.assertIsNone(folder.undirected_once(np.array(edges), None))
        self.assertIsNone(
            folder.undirected_once(np.array([[0, 1], [1, 0]]), np.array([[1], [2]])))


if __name__ == "__main__":
    unittest.main()
