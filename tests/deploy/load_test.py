"""An exported file in plain torch: load_test.py GTRAIN_DEPLOY_TEST.

Lets the C++ test write a file and the outputs it expects, then loads the file with torch alone.
Exit code 77: torch is not there.
"""

import json
import os
import subprocess
import sys
import tempfile
import unittest

try:
    import torch
except ImportError:
    print("skipped: this Python has no torch")
    sys.exit(77)


def tensor(entry, dtype=torch.int64):
    return torch.tensor(entry["values"], dtype=torch.float64).reshape(entry["shape"]).to(dtype)


class LoadTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        subprocess.run(
            [PROGRAM, "--gtest_filter=Export.FileLoadsAndGivesTheModelsOutputs"],
            check=True, stdout=subprocess.DEVNULL,
            env={**os.environ, "GTRAIN_EXPORT_DIRECTORY": cls.directory.name})
        with open(os.path.join(cls.directory.name, "sample.json")) as file:
            cls.sample = json.load(file)
        cls.path = os.path.join(cls.directory.name, "model.pt")
        names = ["x", "edge_index", "edge_attr", "batch"]
        cls.inputs = [tensor(cls.sample["input"][name]) for name in names]
        cls.want = tensor(cls.sample["output"], torch.float32)

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    def close(self, got, want):
        self.assertEqual(got.shape, want.shape)
        self.assertLess((got - want).abs().max().item() / max(1.0, want.abs().max().item()), 1e-5)

    def test_one_batch_gives_what_the_model_gave(self):
        with torch.no_grad():
            self.close(torch.jit.load(self.path)(*self.inputs), self.want)

    def test_graphs_one_by_one_give_the_same(self):
        model = torch.jit.load(self.path)
        x, edge_index, edge_attr, batch = self.inputs
        rows = []
        for graph in range(int(batch[-1]) + 1):
            nodes = torch.nonzero(batch == graph).flatten()
            edges = torch.nonzero(batch[edge_index[0]] == graph).flatten()
            with torch.no_grad():
                rows.append(model(x[nodes], edge_index[:, edges] - nodes[0], edge_attr[edges],
                                  torch.zeros(len(nodes), dtype=torch.int64)))
        self.close(torch.cat(rows), self.want)

    def test_frozen_and_optimised_it_gives_the_same(self):
        model = torch.jit.optimize_for_inference(torch.jit.load(self.path).eval())
        with torch.no_grad():
            for _ in range(3):
                self.close(model(*self.inputs), self.want)

    def test_in_double_precision_it_gives_the_same(self):
        with torch.no_grad():
            self.close(torch.jit.load(self.path).double()(*self.inputs).float(), self.want)

    def test_gradients_reach_every_parameter(self):
        model = torch.jit.load(self.path)
        model(*self.inputs).sum().backward()
        for name, parameter in model.named_parameters():
            self.assertIsNotNone(parameter.grad, name)

    def test_state_dict_has_the_models_names(self):
        names = list(torch.jit.load(self.path).state_dict())
        self.assertEqual(sorted(names), sorted(self.sample["names"]))

    def test_it_describes_itself(self):
        extra = {"gtrain.json": ""}
        torch.jit.load(self.path, _extra_files=extra)
        self.assertFalse(json.loads(extra["gtrain.json"])["fused"])

    def test_wrong_input_is_named(self):
        x, edge_index, edge_attr, batch = self.inputs
        with self.assertRaisesRegex(Exception, "edge_index: has the ends"):
            torch.jit.load(self.path)(x, edge_index + len(x), edge_attr, batch)


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()
