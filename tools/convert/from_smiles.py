#!/usr/bin/env python3
"""A CSV of molecules -> an OGB-style folder that gtrain trains on.

    python3 tools/convert/from_smiles.py mols.csv datasets/mols --smiles smiles --target expt \\
        --task graph_regression --metric rmse --split scaffold

Needs rdkit and ogb (pip install rdkit ogb); features are those of ogb.utils.smiles2graph, each bond
stands once. The scaffold split is OGB's: Bemis-Murcko scaffolds with chirality, groups ordered by
(size, first molecule) from large to small, cut at the given fractions (default 0.8 / 0.1 / 0.1).
Exit code 2 for wrong arguments, 3 for wrong data.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import math
import os
import pathlib
import shlex
import sys

import numpy as np

import folder


def arguments(argv: list[str]) -> argparse.Namespace:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("csv", type=pathlib.Path)
    p.add_argument("out", type=pathlib.Path)
    p.add_argument("--smiles", default="smiles", help="column with the SMILES (default: smiles)")
    p.add_argument("--target", action="append", required=True, help="label column; repeatable")
    p.add_argument("--id", default="", help="column with a name for each molecule")
    p.add_argument("--task", required=True, choices=[t for t in folder.TASKS if "graph" in t])
    p.add_argument("--metric", default="", help="default: the task's usual one")
    p.add_argument("--split", action="append", choices=["scaffold", "random"],
                   help="repeatable; the first is the default (default: scaffold)")
    p.add_argument("--fractions", type=float, nargs=3, default=[0.8, 0.1, 0.1],
                   metavar=("TRAIN", "VALID", "TEST"))
    p.add_argument("--seed", type=int, default=0, help="of the random split")
    p.add_argument("--skip-bad", action="store_true",
                   help="leave out molecules RDKit refuses, naming each, instead of stopping")
    for key in ("name", "title", "source", "licence"):
        p.add_argument(f"--{key}", default="", help="for the card")
    args = p.parse_args(argv)
    if abs(sum(args.fractions) - 1) > 1e-9 or min(args.fractions) < 0:
        p.error("--fractions must be >= 0 and sum to 1")
    args.split = args.split or ["scaffold"]
    return args


def label_of(record: dict[str, str], targets: list[str], where: str) -> np.ndarray:
    values = []
    for target in targets:
        text = (record[target] or "").strip()
        try:
            values.append(float(text) if text else math.nan)
        except ValueError:
            raise folder.ConvertError(
                f"{where}: {target} is {text!r}; expected a number or nothing") from None
    return np.array(values, dtype=np.float64)


def read_records(args: argparse.Namespace) -> list[dict[str, str]]:
    with open(args.csv, newline="", encoding="utf-8-sig") as f:
        reader = csv.DictReader(f)
        names = reader.fieldnames or []
        wanted = [args.smiles, *args.target] + ([args.id] if args.id else [])
        missing = [n for n in wanted if n not in names]
        if missing:
            raise folder.ConvertError(
                f"{args.csv}: no column {', '.join(missing)}; it has {', '.join(names)}")
        return list(reader)


def graph_of(smiles: str, label: np.ndarray, integer_labels: bool) -> folder.Graph:
    from ogb.utils import smiles2graph

    made = smiles2graph(smiles)
    if integer_labels and not np.isnan(label).any():
        label = label.astype(np.int64)
    return folder.Graph(
        nodes=int(made["num_nodes"]),
        edges=made["edge_index"].T[::2],  # both directions of a bond stand one after the other
        node_feat=made["node_feat"],
        edge_feat=made["edge_feat"][::2],
        label=label)


def scaffold_split(smiles: list[str], fractions: list[float]) -> dict[str, list[int]]:
    from rdkit.Chem.Scaffolds import MurckoScaffold

    groups: dict[str, list[int]] = {}
    for index, text in enumerate(smiles):
        scaffold = MurckoScaffold.MurckoScaffoldSmiles(smiles=text, includeChirality=True)
        groups.setdefault(scaffold, []).append(index)
    ordered = sorted(groups.values(), key=lambda g: (len(g), g[0]), reverse=True)
    train_end = fractions[0] * len(smiles)
    valid_end = (fractions[0] + fractions[1]) * len(smiles)
    parts: dict[str, list[int]] = {"train": [], "valid": [], "test": []}
    for group in ordered:
        if len(parts["train"]) + len(group) <= train_end:
            parts["train"] += group
        elif len(parts["train"]) + len(parts["valid"]) + len(group) <= valid_end:
            parts["valid"] += group
        else:
            parts["test"] += group
    return parts


def mapping_text(records: list[dict[str, str]], args: argparse.Namespace) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*args.target, "smiles", "mol_id"])
    for record in records:
        writer.writerow([record[t] for t in args.target] +
                        [record[args.smiles], record[args.id] if args.id else ""])
    return text.getvalue()


def versions() -> str:
    from importlib import metadata

    return ", ".join(f"{package} {metadata.version(package)}" for package in ("rdkit", "ogb"))


def convert(args: argparse.Namespace, command: str) -> dict:
    os.environ.setdefault("OUTDATED_IGNORE", "1")  # ogb would ask the network for its version
    from rdkit import Chem, RDLogger

    RDLogger.DisableLog("rdApp.*")
    integer_labels = args.task != "graph_regression"
    graphs, kept = [], []
    for row, record in enumerate(read_records(args), start=2):
        where = f"{args.csv} (row {row})"
        smiles = record[args.smiles].strip()
        molecule = Chem.MolFromSmiles(smiles)
        if molecule is None or molecule.GetNumAtoms() == 0:
            if not args.skip_bad:
                raise folder.ConvertError(
                    f"{where}: RDKit cannot read {smiles!r} as a molecule (--skip-bad leaves such "
                    "rows out)")
            print(f"{where}: left out: {smiles!r} is no molecule to RDKit", file=sys.stderr)
            continue
        graphs.append(graph_of(smiles, label_of(record, args.target, where), integer_labels))
        kept.append(record)
    smiles_kept = [r[args.smiles].strip() for r in kept]
    splits = {}
    for scheme in args.split:
        splits[scheme] = (scaffold_split(smiles_kept, args.fractions) if scheme == "scaffold"
                          else folder.random_split(len(kept), args.fractions, args.seed))
    card = {
        "name": args.name or args.out.name, "title": args.title, "source": args.source,
        "licence": args.licence, "task": args.task,
        "metric": args.metric or folder.DEFAULT_METRIC[args.task], "split": args.split[0],
        "add_inverse_edge": True, "features": "ogb_mol",
        "sha256": hashlib.sha256(args.csv.read_bytes()).hexdigest()}
    notes = [f"Made with {versions()} by", command]
    return folder.write_folder(args.out, graphs, splits, card, notes,
                               {"mol.csv.gz": mapping_text(kept, args)})


def main(argv: list[str]) -> int:
    args = arguments(argv)
    command = "python3 tools/convert/from_smiles.py " + " ".join(shlex.quote(a) for a in argv)
    try:
        card = convert(args, command)
    except ImportError as error:
        print(f"from_smiles: {error}; this converter needs: pip install rdkit ogb",
              file=sys.stderr)
        return 2
    except (folder.ConvertError, OSError) as error:
        print(f"from_smiles: {error}", file=sys.stderr)
        return 3
    print(f"{args.out}: {card['graphs']} graphs, {card['nodes']} nodes, {card['edges']} bonds")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
