#!/usr/bin/env python3
"""Forecasting windows of a field over time, as an OGB-style folder: one graph a window.

    python3 tools/convert/windows.py SERIES OUT [--history 12] [--horizon 6] [--test 9] [--valid 9]

SERIES is an OGB-style folder of one graph whose node features are `--fixed` columns that do not
change with time (coordinates) and then one column a time step, and whose node labels are the steps
after those, as ../shared/data/sst-ostia has them. A window at step s has the history steps s..s+h-1
(and the fixed columns, scaled to -1..1) as node features and the horizon steps s+h..s+h+p-1 as
labels. Each node is standardised by its own mean and deviation over the training steps (Cai et al.
2023). Windows are split by time: every target of train lies before every target of valid, and those
before every target of test.

Prints, and writes into the card as published values, the mean squared error on test of two
forecasts that learn nothing: persistence (the last step goes on) and the season before (the same
step one period ago).
"""

from __future__ import annotations

import argparse
import gzip
import pathlib
import sys

import numpy as np

import folder


def table(path: pathlib.Path, dtype: type) -> np.ndarray:
    if not path.exists():
        raise folder.ConvertError(f"{path}: missing; expected a folder of one graph with node labels")
    with gzip.open(path, "rt", encoding="utf-8") as f:
        return np.atleast_2d(np.loadtxt(f, delimiter=",", dtype=dtype, ndmin=2))


def starts(steps: int, a: argparse.Namespace) -> dict[str, list[int]]:
    """First steps of the windows of each part, no target step in two parts."""
    ends = {"train": steps - a.valid - a.test, "valid": steps - a.test, "test": steps}
    first, out = a.history, {}
    for part, end in ends.items():
        out[part] = list(range(first - a.history, end - a.history - a.horizon + 1))
        if not out[part]:
            raise folder.ConvertError(
                f"no window for {part}: {end - first} of {steps} steps, horizon {a.horizon}")
        first = end
    return out


def standardised(series: np.ndarray, train_steps: int) -> np.ndarray:
    known = series[:, :train_steps]
    deviation = known.std(axis=1, keepdims=True)
    return (series - known.mean(axis=1, keepdims=True)) / np.where(deviation > 0, deviation, 1)


def references(series: np.ndarray, test: list[int], a: argparse.Namespace) -> dict[str, float]:
    errors: dict[str, list[float]] = {"persistence": [], "season before": []}
    for s in test:
        now = s + a.history
        target = series[:, now:now + a.horizon]
        last = series[:, now - 1:now]
        before = np.stack([series[:, now + k - a.period] for k in range(a.horizon)], axis=1)
        errors["persistence"].append(float(np.mean((target - last) ** 2)))
        errors["season before"].append(float(np.mean((target - before) ** 2)))
    return {name: float(np.mean(values)) for name, values in errors.items()}


def convert(a: argparse.Namespace) -> dict[str, float]:
    raw = a.series / "raw"
    features, labels = (table(raw / f"node-{n}.csv.gz", np.float64) for n in ("feat", "label"))
    edges = table(raw / "edge.csv.gz", np.int64)
    fixed = features[:, :a.fixed]
    steps = features.shape[1] - a.fixed + labels.shape[1]
    if a.period > a.history or a.horizon > a.period:
        raise folder.ConvertError("expected horizon <= period <= history")
    parts = starts(steps, a)
    series = standardised(np.concatenate([features[:, a.fixed:], labels], axis=1),
                          steps - a.valid - a.test)
    span = np.ptp(fixed, axis=0)
    places = 2 * (fixed - fixed.min(axis=0)) / np.where(span > 0, span, 1) - 1
    windows = sorted(s for part in parts.values() for s in part)
    graphs = [folder.Graph(
        nodes=len(series), edges=edges, edge_feat=None,
        node_feat=np.concatenate([places, series[:, s:s + a.history]], axis=1).astype(np.float32),
        label=series[:, s + a.history:s + a.history + a.horizon].astype(np.float32),
    ) for s in windows]
    place = {s: i for i, s in enumerate(windows)}
    split = {part: [place[s] for s in chosen] for part, chosen in parts.items()}
    errors = references(series, parts["test"], a)
    card = {"name": a.out.name, "title": a.title, "source": a.source, "licence": a.licence,
            "task": "node_regression", "metric": "mse", "split": "time", "add_inverse_edge": True,
            "features": "numeric"}
    notes = [f"Windows of {a.history} steps, the next {a.horizon} to forecast, of {steps} steps.",
             *(f"MSE on test, {name}: {value:.4f}" for name, value in errors.items())]
    folder.write_folder(a.out, graphs, {"time": split}, card, notes)
    return errors


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("series", type=pathlib.Path, help="folder of one graph")
    p.add_argument("out", type=pathlib.Path, help="folder to write; must not exist")
    for name, default, what in (
            ("history", 12, "steps a window shows"), ("horizon", 6, "steps it is to forecast"),
            ("period", 12, "steps of a season"), ("valid", 9, "target steps of valid"),
            ("test", 9, "target steps of test"), ("fixed", 2, "columns before the steps")):
        p.add_argument(f"--{name}", type=int, default=default, help=f"{what} (default {default})")
    p.add_argument("--title", default="forecasting windows of a field over time")
    p.add_argument("--source", default="tools/convert/windows.py")
    p.add_argument("--licence", default="as the series")
    try:
        for name, value in convert(p.parse_args()).items():
            print(f"{name}: MSE on test {value:.4f}")
    except folder.ConvertError as e:
        print(f"windows.py: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
