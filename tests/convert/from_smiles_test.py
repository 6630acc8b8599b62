"""Tests of tools/convert/from_smiles.py, against ogb and RDKit themselves."""

import pathlib
import unittest

import harness

harness.need("numpy", "rdkit", "ogb")
import from_smiles  # noqa: E402

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUNDLED = SOURCE / "datasets" / "freesolv"


class FromSmiles(harness.Case):
    def run_on(self, text, *options):
        table = self.scratch / "in.csv"
        table.write_text(text, encoding="utf-8")
        out = self.scratch / "out"
        code = from_smiles.main([str(table), str(out), "--target", "y", *options])
        return code, out

    def test_bundled_molecules_come_out_as_they_are_bundled(self):
        rows = harness.lines(BUNDLED / "mapping/mol.csv.gz")
        code, out = self.run_on(
            "\n".join(rows).replace("expt,", "y,", 1) + "\n", "--task", "graph_regression")
        self.assertEqual(code, 0)
        names = [line.split()[1] for line in (BUNDLED / "SHA256SUMS").read_text().splitlines()]
        self.assertEqual(len(names), 9)
        for name in names:  # unpacked: another zlib may pack otherwise
            self.assertEqual(harness.lines(out / name), harness.lines(BUNDLED / name), name)

    def test_molecule_without_bonds_and_missing_labels_survive(self):
        code, out = self.run_on("smiles,y,z\nC,1,\nCC,0,1\n", "--target", "z", "--task",
                                "graph_multilabel", "--split", "random")
        self.assertEqual(code, 0)
        self.assertEqual(harness.lines(out / "raw/num-edge-list.csv.gz"), ["0", "1"])
        self.assertEqual(harness.lines(out / "raw/graph-label.csv.gz"), ["1.0,", "0,1"])

    def test_scaffolds_never_cross_the_splits(self):
        rings = ["c1ccccc1" + "C" * n for n in range(1, 9)] + ["C1CC1", "C1CCC1"]
        code, out = self.run_on("smiles,y\n" + "".join(f"{s},0\n" for s in rings), "--task",
                                "graph_binary")
        self.assertEqual(code, 0)
        self.assertEqual(harness.indices(out, "scaffold"),
                         {"train": list(range(8)), "valid": [9], "test": [8]})

    def test_bad_rows_are_named_by_their_line(self):
        for text in ("smiles,y\nCC,1\nnot a molecule,1\n", "smiles,y\nCC,1\nC,one\n"):
            code, out = self.run_on(text, "--task", "graph_regression")
            self.assertEqual(code, 3)
            self.assertFalse(out.exists())

    def test_skip_bad_leaves_only_the_bad_row_out(self):
        code, out = self.run_on("smiles,y\nnope,1\nCC,2\n", "--task", "graph_regression",
                                "--skip-bad")
        self.assertEqual(code, 0)
        self.assertEqual(harness.lines(out / "raw/graph-label.csv.gz"), ["2.0"])

    def test_missing_column_is_refused(self):
        code, _ = self.run_on("smiles,other\nCC,1\n", "--task", "graph_regression")
        self.assertEqual(code, 3)


if __name__ == "__main__":
    unittest.main()
