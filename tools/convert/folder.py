"""An OGB-style folder: what the converters beside this file write and gtrain reads.

raw/edge.csv.gz, num-node-list, num-edge-list, node-feat and edge-feat (where there are any),
graph-label or node-label; split/<scheme>/{train,valid,test}.csv.gz; mapping/, SHA256SUMS and
card.yaml (docs/datasets.md). No raw or split file has a header; graphs stand one after another and
node ids are local to their graph. The same input and zlib give the same bytes: gzip members carry neither time nor name.

Knows numpy only; nothing here imports torch, ogb or rdkit.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import os
import pathlib
import shutil
import tempfile
from typing import Any, Iterable

import numpy as np

TASKS = (
    "graph_regression", "graph_binary", "graph_multilabel", "graph_class",
    "node_regression", "node_binary", "node_class",
)
DEFAULT_METRIC = {
    "graph_regression": "mae", "graph_binary": "rocauc", "graph_multilabel": "ap",
    "graph_class": "acc", "node_regression": "mae", "node_binary": "rocauc", "node_class": "acc",
}


class ConvertError(Exception):
    """Something about the input; the message says where and what was expected."""


@dataclasses.dataclass
class Graph:
    """One graph. edges [E, 2]; node_feat [N, F] or None; edge_feat [E, Fe] or None; label [T] for
    graph tasks, [N, T] for node tasks, NaN where missing."""

    nodes: int
    edges: np.ndarray
    node_feat: np.ndarray | None
    edge_feat: np.ndarray | None
    label: np.ndarray


def write_gzip(path: pathlib.Path, chunks: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as raw, gzip.GzipFile(
            filename="", mode="wb", fileobj=raw, compresslevel=9, mtime=0) as f:
        for chunk in chunks:
            f.write(chunk.encode("utf-8"))


def csv_text(array: np.ndarray) -> str:
    """One line a row; each number as the shortest text that reads back as the same number of its
    type, NaN as an empty cell."""
    if array.size == 0:
        return ""
    if np.issubdtype(array.dtype, np.floating):
        cells = [["" if c == "nan" else c for c in row] for row in array.astype(str).tolist()]
    else:
        cells = [map(str, row) for row in array.astype(np.int64).tolist()]
    return "".join(",".join(row) + "\n" for row in cells)


def check_graph(index: int, graph: Graph, first: Graph, task: str) -> None:
    where = f"graph {index}"
    if graph.edges.ndim != 2 or graph.edges.shape[1] != 2:
        raise ConvertError(f"{where}: edges have shape {graph.edges.shape}; expected [E, 2]")
    if len(graph.edges) and not 0 <= graph.edges.min() <= graph.edges.max() < graph.nodes:
        raise ConvertError(f"{where}: an edge end outside 0..{graph.nodes - 1}")
    for name, count in (("node_feat", graph.nodes), ("edge_feat", len(graph.edges))):
        value, pattern = getattr(graph, name), getattr(first, name)
        if (value is None) != (pattern is None):
            raise ConvertError(f"{where}: {name} present in some graphs only")
        if value is None:
            continue
        if value.shape != (count, pattern.shape[1]) or value.shape[1] == 0:
            raise ConvertError(
                f"{where}: {name} has shape {value.shape}; expected ({count}, {pattern.shape[1]})")
        if not np.isfinite(value).all():
            raise ConvertError(f"{where}: {name} holds NaN or Inf")
    expected = first.label.shape if task.startswith("graph_") else (
        graph.nodes, first.label.shape[1])
    if graph.label.shape != expected:
        raise ConvertError(f"{where}: label has shape {graph.label.shape}; expected {expected}")
    if task.endswith("_class") and graph.label.shape[-1] != 1:
        raise ConvertError(f"{where}: {graph.label.shape[-1]} labels; a class task has one")


def check_splits(splits: dict[str, dict[str, list[int]]], count: int) -> None:
    for scheme, parts in splits.items():
        if set(parts) != {"train", "valid", "test"}:
            raise ConvertError(f"split {scheme}: has {sorted(parts)}; expected train, valid, test")
        joined = [i for part in parts.values() for i in part]
        if len(set(joined)) != len(joined):
            raise ConvertError(f"split {scheme}: an index stands twice")
        if joined and not 0 <= min(joined) <= max(joined) < count:
            raise ConvertError(f"split {scheme}: an index outside 0..{count - 1}")


def random_split(count: int, fractions: list[float], seed: int) -> dict[str, list[int]]:
    order = np.random.Generator(np.random.PCG64(seed)).permutation(count).tolist()
    a = int(fractions[0] * count)
    b = int((fractions[0] + fractions[1]) * count)
    return {"train": order[:a], "valid": order[a:b], "test": order[b:]}


def undirected_once(edges: np.ndarray, edge_feat: np.ndarray | None) -> np.ndarray | None:
    """Positions of one direction of each edge where every edge has its reverse with the same
    features, in order of first appearance; else None. Self loops and repeated edges: None."""
    seen: dict[tuple[int, int], int] = {}
    for position, (i, j) in enumerate(edges.tolist()):
        if i == j or (i, j) in seen:
            return None
        seen[(i, j)] = position
    keep = []
    for (i, j), position in seen.items():
        other = seen.get((j, i))
        if other is None:
            return None
        if edge_feat is not None and not np.array_equal(edge_feat[position], edge_feat[other]):
            return None
        if position < other:
            keep.append(position)
    return np.array(keep, dtype=np.int64)


def sums(folder: pathlib.Path) -> str:
    """What `sha256sum` prints for the files below raw/ and split/, in byte order of their names."""
    paths = [p for part in ("raw", "split") for p in (folder / part).rglob("*") if p.is_file()]
    names = sorted((p.relative_to(folder).as_posix() for p in paths), key=str.encode)
    return "".join(
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names)


def scalar(value: Any) -> str:
    """A YAML scalar or flow list on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(scalar(v) for v in value) + "]"
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def card_text(card: dict[str, Any], notes: list[str]) -> str:
    lines = [f"# {note}\n" for note in notes]
    for key, value in card.items():
        if value is None or value == "":
            continue
        plain = key in ("name", "task", "metric", "split", "features")
        lines.append(f"{key}: {value if plain else scalar(value)}\n")
    return "".join(lines)


def write_raw(at: pathlib.Path, graphs: list[Graph], level: str) -> None:
    raw = at / "raw"
    write_gzip(raw / "num-node-list.csv.gz", (f"{g.nodes}\n" for g in graphs))
    write_gzip(raw / "num-edge-list.csv.gz", (f"{len(g.edges)}\n" for g in graphs))
    write_gzip(raw / "edge.csv.gz", (csv_text(g.edges) for g in graphs))
    if graphs[0].node_feat is not None:
        write_gzip(raw / "node-feat.csv.gz", (csv_text(g.node_feat) for g in graphs))
    if graphs[0].edge_feat is not None:
        write_gzip(raw / "edge-feat.csv.gz", (csv_text(g.edge_feat) for g in graphs))
    labels = (g.label[None, :] if level == "graph" else g.label for g in graphs)
    write_gzip(raw / f"{level}-label.csv.gz", (csv_text(v) for v in labels))


def write_folder(out: pathlib.Path, graphs: list[Graph],
                 splits: dict[str, dict[str, list[int]]], card: dict[str, Any],
                 notes: list[str], mapping: dict[str, str] | None = None) -> dict[str, Any]:
    """Checks and writes everything, or nothing: the folder appears under its name when complete.
    `card` gives name, task, metric and add_inverse_edge; counts are added. `notes` become comments
    at its head. `mapping`: file name -> text, written below mapping/. Returns the whole card."""
    if not graphs:
        raise ConvertError("no graphs")
    if out.exists():
        raise ConvertError(f"{out}: exists already; remove it or name another folder")
    task = card["task"]
    if task not in TASKS:
        raise ConvertError(f"task {task}: unknown; known: {', '.join(TASKS)}")
    level = task.split("_")[0]
    for index, graph in enumerate(graphs):
        check_graph(index, graph, graphs[0], task)
    single = level == "node" and len(graphs) == 1
    check_splits(splits, graphs[0].nodes if single else len(graphs))

    out.parent.mkdir(parents=True, exist_ok=True)
    partial = pathlib.Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        write_raw(partial, graphs, level)
        for scheme, parts in splits.items():
            for part, indices in parts.items():
                write_gzip(partial / "split" / scheme / f"{part}.csv.gz",
                           (f"{i}\n" for i in sorted(indices)))
        for name, text in (mapping or {}).items():
            write_gzip(partial / "mapping" / name, [text])
        whole = dict(card)
        whole["graphs"] = len(graphs)
        whole["nodes"] = sum(g.nodes for g in graphs)
        whole["edges"] = sum(len(g.edges) for g in graphs)
        (partial / "SHA256SUMS").write_text(sums(partial), encoding="utf-8")
        (partial / "card.yaml").write_text(card_text(whole, notes), encoding="utf-8")
        partial.chmod(0o755)
        os.rename(partial, out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return whole
