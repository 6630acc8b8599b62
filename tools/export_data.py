"""Small data sets in OGB's layout with odd graphs, for export_matrix.py."""

import gzip
import os
import random

GRAPHS, TRAIN, VALID = 320, 24, 8


def odd_graphs():
    """(nodes, undirected edges, arcs): the odd ones, which the test split holds too."""
    star = [(0, i) for i in range(1, 9)]
    cycle = [(i, (i + 1) % 6) for i in range(6)]
    whole = [(i, j) for i in range(5) for j in range(i)]
    graphs = [(1, []), (3, []), (2, [(0, 1)]), (9, star), (6, cycle), (4, [(0, 1), (2, 3)]),
              (7, [(0, 1), (1, 2), (0, 2), (4, 5)]), (5, whole)]
    repeated = (4, [(0, 1), (1, 2), (0, 1), (1, 2), (1, 2)], [])
    one_way = (5, [(0, 1), (1, 2)], [(2, 2), (2, 3), (4, 2), (4, 2)])
    return [(*g, []) for g in graphs] + [repeated, one_way]


def molecule_like(rng):
    """A tree of degree at most 4 with rings of 5 or 6."""
    n = rng.choice((rng.randint(2, 12), rng.randint(10, 40)))
    edges, degree = [], [0] * n
    for i in range(1, n):
        j = rng.choice([k for k in range(max(0, i - 4), i) if degree[k] < 4] or [i - 1])
        edges.append((j, i))
        degree[i] += 1
        degree[j] += 1
    for i in range(n - 5):
        if rng.random() < 0.15 and (i, i + 5) not in edges:
            edges.append((i, i + 5))
    return n, edges, []


def write(path, rows):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with gzip.open(path + ".csv.gz", "wt", compresslevel=1) as file:
        for row in rows:
            file.write(",".join(str(v) for v in row) + "\n")


def make_data(folder, kind):
    """kind: categories, numbers or none (node and edge columns), and node or edge (labels)."""
    rng = random.Random(kind)
    graphs = [molecule_like(rng) for _ in range(GRAPHS)]
    odd = odd_graphs()
    for k, graph in enumerate(odd):
        graphs[TRAIN + VALID + 11 * k] = graph  # in the test split, among the others
        graphs[2 * k] = graph
    edges = [[e for pair in g[1] for e in (pair, pair[::-1])] + g[2] for g in graphs]
    raw = os.path.join(folder, "raw")
    write(raw + "/num-node-list", [[n] for n, *_ in graphs])
    write(raw + "/num-edge-list", [[len(e)] for e in edges])
    write(raw + "/edge", [pair for e in edges for pair in e])
    nodes, total = sum(n for n, *_ in graphs), sum(len(e) for e in edges)
    category = lambda sizes, count: [[rng.randrange(s) for s in sizes] for _ in range(count)]
    number = lambda width, count: [[round(rng.gauss(0, 1), 4) for _ in range(width)]
                                   for _ in range(count)]
    if kind == "numbers":
        write(raw + "/node-feat", number(3, nodes))
        write(raw + "/edge-feat", number(2, total))
    elif kind != "none":
        write(raw + "/node-feat", category((7, 5), nodes))
        write(raw + "/edge-feat", category((4, 3), total))
    if kind == "node":
        write(raw + "/node-label", [[rng.randrange(3)] for _ in range(nodes)])
    elif kind == "edge":
        pairs = [[(rng.randrange(n), rng.randrange(n)) for _ in range(3)] for n, *_ in graphs]
        write(raw + "/num-pair-list", [[len(p)] for p in pairs])
        write(raw + "/pair", [pair for p in pairs for pair in p])
        write(raw + "/pair-label", [[rng.randrange(2)] for p in pairs for _ in p])
    else:
        write(raw + "/graph-label", number(2, GRAPHS))
    parts = {"train": range(TRAIN), "valid": range(TRAIN, TRAIN + VALID),
             "test": range(TRAIN + VALID, GRAPHS)}
    for part, ids in parts.items():
        write(f"{folder}/split/own/{part}", [[i] for i in ids])


def read(path):
    if not os.path.exists(path + ".csv.gz"):
        return []
    with gzip.open(path + ".csv.gz", "rt") as file:
        return [[float(v) for v in line.split(",")] for line in file]
