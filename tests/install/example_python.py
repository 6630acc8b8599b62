"""docs/examples/python/serve.py, installed, answers for the bundled molecules' SMILES what gtrain
predict says of their graphs; without ogb or rdkit it names what is missing.

  example_python.py WORK      the scratch folder that prefix.cmake has filled
"""
import csv
import gzip
import importlib.util
import subprocess
import sys
from pathlib import Path

MOLECULES = 40


def serve(script, *arguments):
    return subprocess.run(
        [sys.executable, "-B", "-W", "ignore", script, *arguments], capture_output=True, text=True
    )


def main():
    work = Path(sys.argv[1])
    script = work / "prefix/share/doc/gtrain/examples/python/serve.py"
    missing = [m for m in ("torch", "ogb", "rdkit") if importlib.util.find_spec(m) is None]
    if missing:
        ended = serve(script, "model.pt", "CCO")
        assert ended.returncode == 1 and "pip install torch ogb rdkit" in ended.stderr, ended
        print(f"skipped: {', '.join(missing)} not here (GTRAIN_PYTHON names an interpreter)")
        return 77
    mapping = work / "prefix/share/gtrain/datasets/freesolv/mapping/mol.csv.gz"
    with gzip.open(mapping, "rt") as file:
        smiles = [row["smiles"] for row in csv.DictReader(file)][:MOLECULES]
    with open(work / "predict.csv") as file:
        wanted = [float(row["task0"]) for row in csv.DictReader(file)][:MOLECULES]
    ended = serve(script, work / "model.pt", *smiles)
    assert ended.returncode == 0, ended.stderr
    got = [float(line.rsplit(" ", 1)[1]) for line in ended.stdout.splitlines()]
    assert len(got) == MOLECULES, ended.stdout
    for name, a, b in zip(smiles, got, wanted):
        assert abs(a - b) <= 2e-5 * max(1, abs(b)), (name, a, b)
    ended = serve(script, work / "model.pt", "C1CC")
    assert ended.returncode == 1 and "no molecule that RDKit can read" in ended.stderr, ended
    return 0


if __name__ == "__main__":
    sys.exit(main())
