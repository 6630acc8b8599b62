"""libgtrain_ops.so in plain torch: load_test.py LIBRARY.

Loads the library by torch.ops.load_library alone and calls its operators, also from a saved module.
Exit code 77: torch is not there.
"""

import io
import subprocess
import sys
import tempfile
import unittest

try:
    import torch
except ImportError:
    print("skipped: this Python has no torch")
    sys.exit(77)

WALK = '{"name": "random_walk", "steps": 2}'


class Walks(torch.nn.Module):
    def forward(self, edge_index: torch.Tensor, batch: torch.Tensor) -> torch.Tensor:
        return torch.ops.gtrain.encoding(edge_index, batch, '{"name": "random_walk", "steps": 2}')[0]


class LoadTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        torch.ops.load_library(LIBRARY)
        cls.ops = torch.ops.gtrain
        # A path of three nodes and one alone.
        cls.edge_index = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        cls.batch = torch.tensor([0, 0, 0, 1])
        cls.walks = torch.tensor([[0.0, 0.5], [0.0, 1.0], [0.0, 0.5], [0.0, 0.0]])

    def test_encodings_come_without_anything_else(self):
        self.assertTrue(self.ops.encoding(self.edge_index, self.batch, WALK)[0].equal(self.walks))

    def test_a_saved_module_calls_them(self):
        file = io.BytesIO()
        torch.jit.save(torch.jit.script(Walks()), file)
        file.seek(0)
        module = torch.jit.load(file)
        self.assertTrue(module(self.edge_index, self.batch).equal(self.walks))
        frozen = torch.jit.freeze(module.eval())
        self.assertTrue(frozen(self.edge_index, self.batch).equal(self.walks))

    def test_without_the_library_loading_names_the_operator(self):
        with tempfile.NamedTemporaryFile(suffix=".pt") as file:
            torch.jit.save(torch.jit.script(Walks()), file.name)
            loads = subprocess.run([sys.executable, "-W", "ignore", "-c",
                                    f"import torch; torch.jit.load('{file.name}')"],
                                   capture_output=True, text=True)
        self.assertNotEqual(loads.returncode, 0)
        self.assertIn("gtrain::encoding", loads.stderr)

    def test_bits_are_the_same_on_any_number_of_threads(self):
        x, weight = torch.randn(3000, 64), torch.randn(96, 64)
        batch = torch.arange(3000) // 30
        results = []
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            qkv = self.ops.linear(x, torch.cat([weight, weight]), None, "gelu")
            results.append(self.ops.varlen_attention(qkv, batch, 4))
        for result in results[1:]:
            self.assertTrue(result.equal(results[0]))

    def test_derivatives_are_refused_by_name(self):
        x = torch.randn(3, 4, requires_grad=True)
        with self.assertRaisesRegex(RuntimeError, "gtrain::linear"):
            self.ops.linear(x, torch.randn(2, 4), None).sum().backward()

    def test_wrong_arguments_are_named(self):
        with self.assertRaisesRegex(RuntimeError, "batch: is not ascending"):
            self.ops.varlen_attention(torch.randn(3, 12), torch.tensor([1, 0, 2]), 2)
        with self.assertRaisesRegex(RuntimeError, "walk: no such encoding"):
            self.ops.encoding(self.edge_index, self.batch, '{"name": "walk"}')


if __name__ == "__main__":
    LIBRARY = sys.argv.pop(1)
    unittest.main()
