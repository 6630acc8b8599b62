"""GPS on PyG for bench_step.py: the model, its batches and one training step.

ZINC's layers are torch_geometric.nn.GPSConv around GINEConv. GPSConv cannot pass on edge features
that its local layer updates, so molhiv's are written out here: GatedGCN (Bresson & Laurent 2017)
beside nn.MultiheadAttention on the padded batch, as in Rampasek et al. 2022.
"""

import gzip
import pathlib
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GINEConv, GPSConv
from torch_geometric.utils import scatter, to_dense_batch

WIDTH, LAYERS, HEADS, ATTENTION_DROPOUT = 64, 10, 4, 0.5
OGB_ATOM, OGB_BOND = [119, 4, 12, 12, 10, 6, 6, 2, 2], [5, 6, 2]  # categories of each column


class GatedGcn(nn.Module):
    """e' = D x_i + E x_j + C e; x' = A x_i + sum sigmoid(e') B x_j / (sum sigmoid(e') + 1e-6)."""

    def __init__(self, dropout):
        super().__init__()
        for name in ("a", "b", "c", "d", "e"):
            setattr(self, name, nn.Linear(WIDTH, WIDTH))
        self.node_norm, self.edge_norm = nn.BatchNorm1d(WIDTH), nn.BatchNorm1d(WIDTH)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, edge_index, edge):
        source, target = edge_index
        gate = self.d(x)[target] + self.e(x)[source] + self.c(edge)
        weight = torch.sigmoid(gate)
        total = scatter(weight * self.b(x)[source], target, 0, x.size(0), "sum")
        mean = total / (scatter(weight, target, 0, x.size(0), "sum") + 1e-6)
        h = functional.relu(self.node_norm(self.a(x) + mean))
        e = functional.relu(self.edge_norm(gate))
        return x + self.dropout(h), edge + self.dropout(e)


class GatedLayer(nn.Module):
    def __init__(self, dropout):
        super().__init__()
        self.local = GatedGcn(dropout)
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, ATTENTION_DROPOUT, batch_first=True)
        self.norms = nn.ModuleList(nn.BatchNorm1d(WIDTH) for _ in range(3))
        self.dropout = nn.Dropout(dropout)
        self.feed_forward = nn.Sequential(
            nn.Linear(WIDTH, 2 * WIDTH), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(2 * WIDTH, WIDTH), nn.Dropout(dropout))

    def forward(self, x, batch, edge):
        local, edge = self.local(x, batch.edge_index, edge)
        dense, mask = to_dense_batch(x, batch.batch)
        mixed = self.attention(dense, dense, dense, key_padding_mask=~mask, need_weights=False)[0]
        h = self.norms[0](local) + self.norms[1](x + self.dropout(mixed[mask]))
        return self.norms[2](h + self.feed_forward(h)), edge


class GineLayer(nn.Module):
    def __init__(self, dropout):
        super().__init__()
        mlp = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))
        self.conv = GPSConv(WIDTH, GINEConv(mlp), heads=HEADS, dropout=dropout, act="relu",
                            norm="batch_norm", attn_type="multihead",
                            attn_kwargs={"dropout": ATTENTION_DROPOUT})

    def forward(self, x, batch, edge):
        return self.conv(x, batch.edge_index, batch.batch, edge_attr=edge), edge


class SummedEmbedding(nn.Module):
    """One table per column, summed."""

    def __init__(self, sizes, width):
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(size, width) for size in sizes)

    def forward(self, x):
        return sum(table(x[:, i]) for i, table in enumerate(self.tables))


class Gps(nn.Module):
    def __init__(self, node_sizes, edge_sizes, steps, width, layer, dropout, pool):
        super().__init__()
        self.node = SummedEmbedding(node_sizes, WIDTH - width)
        self.edge = SummedEmbedding(edge_sizes, WIDTH)
        self.walk = nn.Sequential(nn.BatchNorm1d(steps), nn.Linear(steps, width))
        self.layers = nn.ModuleList(layer(dropout) for _ in range(LAYERS))
        self.pool = pool
        self.head = nn.Sequential(
            nn.Linear(WIDTH, WIDTH // 2), nn.ReLU(),
            nn.Linear(WIDTH // 2, WIDTH // 4), nn.ReLU(), nn.Linear(WIDTH // 4, 1))

    def forward(self, batch):
        x = torch.cat([self.node(batch.x), self.walk(batch.walk)], 1)
        edge = self.edge(batch.edge_attr)
        for layer in self.layers:
            x, edge = layer(x, batch, edge)
        return self.head(scatter(x, batch.batch, 0, batch.num_graphs, self.pool))


def zinc():
    return {"steps": 20, "loss": functional.l1_loss, "lr": 1e-3,
            "model": Gps([28], [4], 20, 28, GineLayer, 0.0, "sum")}


def molhiv():
    return {"steps": 16, "loss": functional.binary_cross_entropy_with_logits, "lr": 1e-4,
            "model": Gps(OGB_ATOM, OGB_BOND, 16, 16, GatedLayer, 0.05, "mean")}


MODELS = {"zinc": zinc, "molhiv": molhiv}


def read(folder, name, kind=np.int64):
    with gzip.open(pathlib.Path(folder) / "raw" / f"{name}.csv.gz", "rt") as file:
        return np.loadtxt(file, delimiter=",", dtype=kind, ndmin=2)


def random_walk(edge_index, nodes, steps):
    """[N, steps]: probabilities of being back after 1..steps steps."""
    adjacency = torch.zeros(nodes, nodes)
    adjacency.index_put_(tuple(edge_index), torch.ones(edge_index.size(1)), accumulate=True)
    walk = adjacency / adjacency.sum(1, keepdim=True).clamp(min=1)
    power, out = torch.eye(nodes), []
    for _ in range(steps):
        power = power @ walk
        out.append(power.diagonal().clone())
    return torch.stack(out, 1)


def batches_of(folder, ids, steps):
    """The batches of the given graph ids, collated, with both directions of every edge."""
    nodes, edges = read(folder, "num-node-list")[:, 0], read(folder, "num-edge-list")[:, 0]
    node_start, edge_start = np.r_[0, nodes.cumsum()], np.r_[0, edges.cumsum()]
    edge, x = read(folder, "edge"), torch.from_numpy(read(folder, "node-feat"))
    attr, label = torch.from_numpy(read(folder, "edge-feat")), read(folder, "graph-label", float)

    def graph(g):
        first, last = edge_start[g], edge_start[g + 1]
        both = np.stack([edge[first:last], edge[first:last, ::-1]], 1).reshape(-1, 2)
        index = torch.from_numpy(both.T.copy())
        return Data(x=x[node_start[g]:node_start[g + 1]], edge_index=index,
                    edge_attr=attr[first:last].repeat_interleave(2, 0),
                    walk=random_walk(index, int(nodes[g]), steps),
                    y=torch.tensor(label[g:g + 1], dtype=torch.float32))

    return [Batch.from_data_list([graph(g) for g in batch]) for batch in ids]


class Trainer:
    """Forward, loss, backward, clip at norm 1, AdamW; in batch order from the first on."""

    def __init__(self, name, folder, ids, fused):
        setup = MODELS[name]()
        self.model, self.loss = setup["model"].train(), setup["loss"]
        self.batches = batches_of(folder, ids, setup["steps"])
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=setup["lr"], weight_decay=1e-5, fused=fused)

    def parameters(self):
        return sum(p.numel() for p in self.model.parameters())

    def run(self, steps):
        """Seconds of `steps` steps, whole and by phase."""
        phases = {"forward": 0.0, "backward": 0.0, "optimizer": 0.0}
        begin = now = time.perf_counter()

        def passed(phase):
            nonlocal now
            last, now = now, time.perf_counter()
            phases[phase] += now - last

        for step in range(steps):
            batch = self.batches[step % len(self.batches)]
            loss = self.loss(self.model(batch), batch.y)
            loss.item()
            passed("forward")
            loss.backward()
            passed("backward")
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()
            passed("optimizer")
        return {"seconds": now - begin, **phases}
