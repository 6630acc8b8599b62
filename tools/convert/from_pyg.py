#!/usr/bin/env python3
"""A PyTorch Geometric data set -> an OGB-style folder that gtrain trains on.

    python3 tools/convert/from_pyg.py datasets/zinc12k ZINC root=raw/zinc subset=true \\
        --splits split=train,val,test --task graph_regression --metric mae \\
        --node-categories 28 --edge-categories 4
    python3 tools/convert/from_pyg.py datasets/peptides-struct LRGBDataset root=raw/lrgb \\
        name=Peptides-struct --splits split=train,val,test --task graph_regression \\
        --features ogb_mol
    python3 tools/convert/from_pyg.py datasets/planetoid-cora Planetoid root=raw/cora name=Cora \\
        --task node_class

The data set is a class of torch_geometric.datasets, or MODULE:CLASS; KEY=VALUE are its arguments.
Splits come from, in this order: --splits KEY=A,B,C (the set is made three times, for train, valid
and test, and joined), get_idx_split() of the set, train_mask/val_mask/test_mask of a single graph
(one column: scheme "public"; S columns: split0 .. split<S-1>), else a random one.

Kept: x, edge_attr, y, edge_index. Where every edge has its reverse with the same features, each is
stored once and the card says add_inverse_edge. Needs torch and torch_geometric.
Exit code 2 for wrong arguments, 3 for wrong data.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pathlib
import shlex
import sys
from typing import Any

import numpy as np

import folder

PARTS = ("train", "valid", "test")


def value_of(text: str) -> Any:
    """true, 3, 0.5, "quoted" and null as in JSON; anything else is a string."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r}; expected KEY=VALUE")
    return key, value


def arguments(argv: list[str]) -> argparse.Namespace:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("out", type=pathlib.Path)
    p.add_argument("dataset", help="class of torch_geometric.datasets, or MODULE:CLASS")
    p.add_argument("arguments", nargs="*", type=pair, metavar="KEY=VALUE",
                   help="arguments of the class")
    p.add_argument("--splits", type=pair, metavar="KEY=TRAIN,VALID,TEST",
                   help="argument of the class that selects the split, and its three values")
    p.add_argument("--scheme", default="", help="name of that split (default: official)")
    p.add_argument("--task", required=True, choices=folder.TASKS)
    p.add_argument("--metric", default="", help="default: the task's usual one")
    p.add_argument("--features", default="", choices=["", "ogb_mol"],
                   help="ogb_mol: columns are OGB's atom and bond features")
    p.add_argument("--node-categories", type=int, nargs="+",
                   help="number of values of each integer node column (default: from the data)")
    p.add_argument("--edge-categories", type=int, nargs="+", help="likewise for edges")
    p.add_argument("--directed", action="store_true",
                   help="store edges as they are even where every edge has its reverse")
    p.add_argument("--fractions", type=float, nargs=3, default=[0.8, 0.1, 0.1],
                   metavar=PARTS, help="of a random split")
    p.add_argument("--seed", type=int, default=0, help="of a random split")
    for key in ("name", "title", "source", "licence"):
        p.add_argument(f"--{key}", default="", help="for the card")
    args = p.parse_intermixed_args(argv)
    if args.splits and len(args.splits[1].split(",")) != 3:
        p.error("--splits needs three values, for train, valid and test")
    return args


def class_named(name: str) -> Any:
    module, colon, attribute = name.rpartition(":")
    module = module if colon else "torch_geometric.datasets"
    try:
        return getattr(importlib.import_module(module), attribute)
    except AttributeError:
        raise folder.ConvertError(f"{module} has no class {attribute}") from None


def array_of(tensor: Any) -> np.ndarray | None:
    """A dense [rows, columns] array; None where there is nothing."""
    if tensor is None:
        return None
    array = (tensor.to_dense() if tensor.is_sparse else tensor).cpu().numpy()
    if array.ndim == 1:
        array = array[:, None]
    if array.dtype == np.bool_:
        array = array.astype(np.int64)
    return array.reshape(len(array), -1) if array.size else None


def label_array(data: Any, task: str, where: str) -> np.ndarray:
    if getattr(data, "y", None) is None:
        raise folder.ConvertError(f"{where}: no y")
    array = data.y.cpu().numpy()
    if task.startswith("graph_"):
        array = array.reshape(-1)
    elif array.ndim == 1:
        array = array[:, None]
    if task.endswith("_class"):
        if not np.array_equal(array, np.round(array)):
            raise folder.ConvertError(f"{where}: y is no class number; is it a regression task?")
        array = array.astype(np.int64)
    return array


def graph_of(data: Any, task: str, where: str) -> folder.Graph:
    return folder.Graph(
        nodes=int(data.num_nodes),
        edges=data.edge_index.cpu().numpy().T.astype(np.int64),
        node_feat=array_of(getattr(data, "x", None)),
        edge_feat=array_of(getattr(data, "edge_attr", None)),
        label=label_array(data, task, where))


def fill_edgeless(graphs: list[folder.Graph]) -> None:
    """Gives graphs without edges the same feature columns, with no rows, as the others have."""
    widths = {g.edge_feat.shape[1] for g in graphs if g.edge_feat is not None}
    for g in graphs:
        if g.edge_feat is None and not len(g.edges) and len(widths) == 1:
            g.edge_feat = np.zeros((0, next(iter(widths))), dtype=np.int64)


def store_once(graphs: list[folder.Graph]) -> bool:
    """Keeps one direction of each edge where all graphs allow it; says whether it did."""
    kept = []
    for g in graphs:
        positions = folder.undirected_once(g.edges, g.edge_feat)
        if positions is None:
            return False
        kept.append(positions)
    for g, positions in zip(graphs, kept):
        g.edges = g.edges[positions]
        if g.edge_feat is not None:
            g.edge_feat = g.edge_feat[positions]
    return True


def masks(data: Any) -> dict[str, dict[str, list[int]]]:
    columns = {}
    for part, name in zip(PARTS, ("train_mask", "val_mask", "test_mask")):
        mask = array_of(getattr(data, name, None))
        if mask is None:
            return {}
        columns[part] = mask
    count = max(m.shape[1] for m in columns.values())
    splits = {}
    for s in range(count):
        # A mask of one column beside others of many holds for each of them (WikiCS's test mask).
        splits[f"split{s}" if count > 1 else "public"] = {
            part: np.flatnonzero(m[:, s if m.shape[1] > 1 else 0]).tolist()
            for part, m in columns.items()}
    return splits


def load(args: argparse.Namespace) -> tuple[list[Any], dict[str, dict[str, list[int]]]]:
    cls = class_named(args.dataset)
    keywords = {key: value_of(value) for key, value in args.arguments}
    if args.splits:
        key, values = args.splits
        items: list[Any] = []
        split: dict[str, list[int]] = {}
        for part, value in zip(PARTS, values.split(",")):
            made = cls(**keywords, **{key: value_of(value)})
            split[part] = list(range(len(items), len(items) + len(made)))
            items += [made[i] for i in range(len(made))]
        return items, {args.scheme or "official": split}
    made = cls(**keywords)
    items = [made[i] for i in range(len(made))]
    if hasattr(made, "get_idx_split"):
        split = {part: [int(i) for i in indices] for part, indices in made.get_idx_split().items()}
        return items, {args.scheme or "official": split}
    single = args.task.startswith("node_") and len(items) == 1
    found = masks(items[0]) if single else {}
    count = int(items[0].num_nodes) if single else len(items)
    return items, found or {
        args.scheme or "random": folder.random_split(count, args.fractions, args.seed)}


def convert(args: argparse.Namespace, command: str) -> dict[str, Any]:
    import torch
    import torch_geometric

    items, splits = load(args)
    graphs = [graph_of(d, args.task, f"graph {i}") for i, d in enumerate(items)]
    fill_edgeless(graphs)
    once = not args.directed and store_once(graphs)
    card = {
        "name": args.name or args.out.name, "title": args.title, "source": args.source,
        "licence": args.licence, "task": args.task,
        "metric": args.metric or folder.DEFAULT_METRIC[args.task], "split": next(iter(splits)),
        "add_inverse_edge": once, "features": args.features,
        "node_categories": args.node_categories, "edge_categories": args.edge_categories}
    notes = [f"Made with torch_geometric {torch_geometric.__version__}, torch {torch.__version__} "
             "by", command]
    return folder.write_folder(args.out, graphs, splits, card, notes)


def main(argv: list[str]) -> int:
    args = arguments(argv)
    command = "python3 tools/convert/from_pyg.py " + " ".join(shlex.quote(a) for a in argv)
    try:
        card = convert(args, command)
    except ImportError as error:
        print(f"from_pyg: {error}; this converter needs: pip install torch torch_geometric",
              file=sys.stderr)
        return 2
    except (folder.ConvertError, OSError) as error:
        print(f"from_pyg: {error}", file=sys.stderr)
        return 3
    print(f"{args.out}: {card['graphs']} graphs, {card['nodes']} nodes, {card['edges']} stored "
          f"edges, add_inverse_edge: {card['add_inverse_edge']}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
