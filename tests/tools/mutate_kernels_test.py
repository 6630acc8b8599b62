"""Tests of tools/mutation_operators.py: which faults are planted in a line, and where none are."""

import pathlib
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import mutation_operators  # noqa: E402


def changes(text, operator=None):
    return [m.after.strip() for m in mutation_operators.mutants(text.splitlines())
            if operator in (None, m.operator)]


class Operators(unittest.TestCase):
    def test_a_bound_is_shifted_by_one(self):
        self.assertEqual(changes("if (i < n) {", "bound"), ["if (i <= n) {"])

    def test_barriers_are_dropped(self):
        self.assertEqual(changes("__syncthreads();", "barrier"), [";"])
        self.assertIn("if (tiled) ;", changes("if (tiled) __syncwarp(mask);", "barrier"))

    def test_conditions_are_inverted(self):
        self.assertIn("if (!(a == b)) return;", changes("if (a == b) return;", "condition"))
        self.assertIn("x = full ? b : a;", changes("x = full ? a : b;", "condition"))

    def test_masks_are_halved_and_lanes_changed(self):
        found = changes("y = __shfl_xor_sync(kAllLanes, x, step);")
        self.assertIn("y = __shfl_xor_sync(0xffffu, x, step);", found)
        self.assertIn("y = __shfl_xor_sync(kAllLanes, x, (step) / 2);", found)
        self.assertIn("y = __shfl_xor_sync(kAllLanes, x, (step) + 1);", found)

    def test_neighbouring_arguments_change_places(self):
        self.assertEqual(changes("out = f(a, g(b, c));", "arguments"),
                         ["out = f(g(b, c), a);", "out = f(a, g(c, b));"])

    def test_numbers_move_by_one_both_ways(self):
        self.assertEqual(sorted(changes("x = 8u;", "number")), ["x = 7u;", "x = 9u;"])

    def test_statements_are_removed_but_not_declarations(self):
        self.assertEqual(changes("sum += x;", "statement"), [";"])
        self.assertEqual(changes("float sum = x;", "statement"), [])
        self.assertEqual(changes("return x;", "statement"), [])

    def test_a_statement_over_two_lines_is_not_cut(self):
        self.assertEqual(changes("x = a +\n    f(b);", "statement"), [])

    def test_template_brackets_comments_directives_and_strings_stay(self):
        for text in ("load<S, 4>(p);  // a < b", "#define A(x) x + 1", "// i < n",
                     "#pragma unroll 4", 'check("i < n");', "template void f<4>(int);"):
            self.assertEqual([c for c in changes(text) if c not in (";", "load<S, 3>(p);",
                                                                    "load<S, 5>(p);")], [], text)

    def test_no_text_comes_twice_for_a_line(self):
        found = changes("for (int i = 0; i < n; ++i) s += min(a, b) * 2;")
        self.assertEqual(len(found), len(set(found)))


if __name__ == "__main__":
    unittest.main()
