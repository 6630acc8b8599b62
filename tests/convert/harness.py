"""What the converter tests share: the converters on the path, reading back, skipping with 77."""

import gzip
import importlib
import pathlib
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools" / "convert"))


def need(*packages):
    """Leaves with the code that ctest takes for "skipped" where a package is missing."""
    for package in packages:
        try:
            importlib.import_module(package)
        except ImportError:
            print(f"skipped: the Python package {package} is not installed")
            sys.exit(77)


def lines(path):
    with gzip.open(path, "rt", encoding="utf-8") as f:
        return f.read().splitlines()


def indices(folder, scheme):
    return {part: [int(i) for i in lines(folder / "split" / scheme / f"{part}.csv.gz")]
            for part in ("train", "valid", "test")}


class Case(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="gtrain-convert-")
        self.addCleanup(scratch.cleanup)
        self.scratch = pathlib.Path(scratch.name)
