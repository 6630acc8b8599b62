"""Tests of tools/convert/windows.py."""

import argparse
import unittest

import harness

harness.need("numpy")
import folder  # noqa: E402
import numpy as np  # noqa: E402
import windows  # noqa: E402


class Windows(harness.Case):
    """Three nodes in a row; step t of node i is 10 i + t, 20 steps, the last four as labels."""

    def arguments(self, **changes):
        values = dict(series=self.scratch / "series", out=self.scratch / "out", history=4, horizon=2,
                      period=4, valid=3, test=3, fixed=1, title="t", source="s", licence="l")
        return argparse.Namespace(**{**values, **changes})

    def setUp(self):
        super().setUp()
        series = 10.0 * np.arange(3)[:, None] + np.arange(20)
        raw = self.scratch / "series" / "raw"
        where = np.array([[0.0], [5.0], [10.0]])
        folder.write_gzip(raw / "node-feat.csv.gz",
                          [folder.csv_text(np.concatenate([where, series[:, :16]], axis=1))])
        folder.write_gzip(raw / "node-label.csv.gz", [folder.csv_text(series[:, 16:])])
        folder.write_gzip(raw / "edge.csv.gz", ["0,1\n1,2\n"])

    def test_targets_of_the_parts_do_not_overlap(self):
        parts = windows.starts(20, self.arguments())
        targets = {part: {s + 4 + k for s in chosen for k in range(2)}
                   for part, chosen in parts.items()}
        self.assertEqual(targets["train"], set(range(4, 14)))
        self.assertEqual(targets["valid"], {14, 15, 16})
        self.assertEqual(targets["test"], {17, 18, 19})

    def test_a_window_shows_its_history_and_asks_for_what_follows(self):
        windows.convert(self.arguments())
        out = self.scratch / "out"
        first = [float(c) for c in harness.lines(out / "raw/node-feat.csv.gz")[0].split(",")]
        known = np.arange(14.0)
        expected = (np.arange(4) - known.mean()) / known.std()
        self.assertEqual(first[0], -1.0)
        np.testing.assert_allclose(first[1:], expected, rtol=1e-6)
        label = [float(c) for c in harness.lines(out / "raw/node-label.csv.gz")[0].split(",")]
        np.testing.assert_allclose(label, (np.array([4, 5]) - known.mean()) / known.std(), rtol=1e-6)
        self.assertEqual(harness.indices(out, "time")["train"], list(range(9)))

    def test_forecasts_that_learn_nothing_have_their_error(self):
        errors = windows.convert(self.arguments())
        variance = np.arange(14.0).var()
        self.assertAlmostEqual(errors["persistence"], (1 + 4) / 2 / variance)
        self.assertAlmostEqual(errors["season before"], 16 / variance)

    def test_too_few_steps_are_refused(self):
        with self.assertRaisesRegex(folder.ConvertError, "no window for test"):
            windows.convert(self.arguments(test=1))
        with self.assertRaisesRegex(folder.ConvertError, "horizon <= period <= history"):
            windows.convert(self.arguments(period=5))


if __name__ == "__main__":
    unittest.main()
