"""Tests of tools/convert/split_dict.py."""

import contextlib
import io
import unittest

import harness

harness.need("torch")
import split_dict  # noqa: E402
import torch  # noqa: E402


class Foreign:
    """What a load restricted to weights refuses, as it does OGB's numpy arrays."""

    def tolist(self):
        return [3]


class SplitDict(harness.Case):
    def setUp(self):
        super().setUp()
        self.path = self.scratch / "split_dict.pt"

    def convert(self, *arguments):
        """Exit code, standard output and standard error."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = split_dict.main([str(self.path), *arguments])
        return code, out.getvalue(), err.getvalue()

    def save(self, content):
        torch.save(content, self.path)

    def ids(self, part):
        return [int(line) for line in harness.lines(self.scratch / f"{part}.csv.gz")]

    def refused(self, message, *arguments):
        code, _, err = self.convert(*arguments)
        self.assertEqual(code, 3)
        self.assertIn(message, err)
        self.assertEqual(list(self.scratch.glob("*.csv.gz")), [])

    def test_tensors_and_lists_become_one_id_a_line_in_their_order(self):
        self.save({"train": torch.tensor([4, 0, 2]), "valid": [1], "test": []})
        code, out, err = self.convert()
        self.assertEqual(code, 0, err)
        self.assertEqual([self.ids(p) for p in ("train", "valid", "test")], [[4, 0, 2], [1], []])
        self.assertIn("train.csv.gz: 3 ids", out)

    def test_the_same_split_gives_the_same_bytes_without_time_or_name(self):
        self.save({"train": [0], "valid": [1], "test": [2]})
        self.convert()
        first = (self.scratch / "train.csv.gz").read_bytes()
        self.assertEqual(first[3:8], b"\0\0\0\0\0")
        self.convert()
        self.assertEqual((self.scratch / "train.csv.gz").read_bytes(), first)

    def test_other_objects_need_trust(self):
        self.save({"train": Foreign(), "valid": [], "test": []})
        self.refused("add --trust")
        self.assertEqual(self.convert("--trust")[0], 0)
        self.assertEqual(self.ids("train"), [3])

    def test_a_missing_part_is_named_before_anything_is_written(self):
        self.save({"train": [0], "test": [1]})
        self.refused("train, valid and test")
        self.save([1, 2])
        self.refused("train, valid and test")

    def test_fractions_and_masks_are_no_ids(self):
        for part in (torch.tensor([0.5]), [True], torch.tensor([False, True])):
            self.save({"train": [0], "valid": part, "test": []})
            self.refused("'valid' is not a list of ids")

    def test_what_is_no_pickle_is_refused_with_and_without_trust(self):
        self.refused("split_dict.pt: no such file")
        self.path.write_bytes(b"not a pickle")
        self.refused("split_dict.pt: holds more")
        self.refused("split_dict.pt: cannot be loaded", "--trust")


if __name__ == "__main__":
    unittest.main()
