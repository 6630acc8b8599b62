#!/usr/bin/env python3
"""Attention inside each graph of a batch: torch on the padded batch against gtrain, one thread.

    python bench_varlen.py --program build/release/bin/gtrain_bench_varlen

Batches have the sizes of the named data sets: synthetic trees with rings, fixed seed. Both sides
start from packed rows [N, 3D] that need a gradient; torch scatters them into the padded batch, calls
scaled_dot_product_attention with the mask (or, for Graphormer's bias, with a float bias
[B, H, n, n] that needs a gradient, and the same spelled out with bmm and softmax as Graphormer's
code does; the faster one counts) and gathers the result. gtrain's bias is a byte per pair and a
table [64, H]; torch's is made beforehand, at no cost to it. The sides run in turn, --rounds rounds
of --repetitions each; medians by the clock on the wall, and processor time, which a busy machine
disturbs less. Bound: 12 Σn² D floating-point operations at this machine's best sgemm.
Needs numpy and torch.
"""

import argparse
import collections
import json
import os
import pathlib
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch reads it

# mean, deviation, least, most nodes, rings
SIZES = {
    "zinc": (23.15, 4.5, 9, 37, 2.75),
    "molhiv": (25.5, 12.1, 2, 222, 3.0),
    "peptides": (150.9, 84.0, 8, 444, 3.7),
}
BUCKETS = 64
Case = collections.namedtuple("Case", "name data graphs heads width dropout bias target")
CASES = (
    Case("peptides_dropout", "peptides", 128, 4, 96, 0.5, False, 40),
    Case("peptides", "peptides", 128, 4, 96, 0.0, False, 7),
    Case("zinc_dropout", "zinc", 32, 4, 64, 0.5, False, 4),
    Case("zinc", "zinc", 32, 4, 64, 0.0, False, None),
    Case("molhiv_graphormer", "molhiv", 128, 8, 80, 0.1, True, 8),
)


def make_graphs(numpy, case):
    """[(nodes, neighbour lists)]; trees whose branches are short, and rings of six."""
    random = numpy.random.default_rng(0)
    mean, deviation, least, most, rings = SIZES[case.data]
    graphs = []
    for _ in range(case.graphs):
        if case.data == "peptides":
            n = random.gamma((mean / deviation) ** 2, deviation**2 / mean)
        else:
            n = random.normal(mean, deviation)
        n = int(numpy.clip(round(n), least, most))
        near = [[] for _ in range(n)]

        def join(a, b):
            near[a].append(b)
            near[b].append(a)

        for i in range(1, n):
            join(i, max(0, i - int(min(random.geometric(0.75), 4))))
        for _ in range(random.poisson(rings)):
            a = int(random.integers(0, max(1, n - 5)))
            if a + 5 < n:
                join(a, a + 5)
        graphs.append((n, near))
    return graphs


def hops_of(numpy, n, near):
    """Distances + 1, a token joined to all nodes in front: bucket 0."""
    hops = numpy.zeros((n + 1, n + 1), numpy.uint8)
    for source in range(n):
        distance = {source: 0}
        queue = collections.deque([source])
        while queue:
            u = queue.popleft()
            for v in near[u]:
                if v not in distance:
                    distance[v] = distance[u] + 1
                    queue.append(v)
        for v in range(n):
            hops[source + 1, v + 1] = 1 + min(distance.get(v, BUCKETS - 2), BUCKETS - 2)
    return hops


class Padded:
    """torch on the padded batch."""

    def __init__(self, torch, case, sizes, hops):
        self.torch, self.case = torch, case
        torch.manual_seed(0)
        size = torch.tensor(sizes)
        self.graphs, self.length = len(sizes), max(sizes)
        start = torch.nn.functional.pad(size.cumsum(0), (1, 0))
        graph = torch.repeat_interleave(torch.arange(self.graphs), size)
        self.place = graph * self.length + torch.arange(int(size.sum())) - start[graph]
        self.mask = torch.arange(self.length)[None] < size[:, None]
        self.qkv = torch.randn(int(size.sum()), 3 * case.width, requires_grad=True)
        self.inputs = [self.qkv]
        self.forms = [self.attend]
        if case.bias:
            bias = torch.full((self.graphs, case.heads, self.length, self.length), -torch.inf)
            table = torch.randn(BUCKETS, case.heads) * 0.1
            for g, part in enumerate(hops):
                n = len(part)
                bias[g, :, :n, :n] = table[torch.from_numpy(part).long()].permute(2, 0, 1)
                bias[g, :, n:, 0] = 0  # rows of padding must not be empty
            self.bias = bias.requires_grad_()
            self.inputs.append(self.bias)
            self.forms = [self.attend, self.spell_out]

    def parts(self):
        case = self.case
        rows = self.qkv.new_zeros(self.graphs * self.length, 3 * case.width)
        rows = rows.index_copy(0, self.place, self.qkv)
        shape = (self.graphs, self.length, 3, case.heads, case.width // case.heads)
        return rows.view(shape).permute(2, 0, 3, 1, 4)

    def pack(self, out):
        return out.transpose(1, 2).reshape(-1, self.case.width)[self.place]

    def attend(self):
        q, k, v = self.parts()
        mask = self.bias if self.case.bias else self.mask[:, None, None, :]
        if self.case.dropout and not self.case.bias:
            mask = mask.expand(self.graphs, self.case.heads, self.length, self.length)
        sdpa = self.torch.nn.functional.scaled_dot_product_attention
        return self.pack(sdpa(q, k, v, attn_mask=mask, dropout_p=self.case.dropout))

    def spell_out(self):
        q, k, v = self.parts()
        score = (q * (self.case.width // self.case.heads) ** -0.5) @ k.transpose(-1, -2) + self.bias
        weight = score.masked_fill(~self.mask[:, None, None, :], -self.torch.inf).softmax(-1)
        return self.pack(self.torch.nn.functional.dropout(weight, self.case.dropout) @ v)

    def run(self, repetitions):
        def forward(form):
            with self.torch.no_grad():
                form()

        def both(form):
            for x in self.inputs:
                x.grad = None
            form().sum().backward()

        answers = []
        for form in self.forms:
            answer = {}
            for name, body in (("forward", forward), ("both", both)):
                wall, processor = [], []
                for _ in range(repetitions):
                    clock, begin = time.process_time(), time.perf_counter()
                    body(form)
                    wall.append(1e3 * (time.perf_counter() - begin))
                    processor.append(1e3 * (time.process_time() - clock))
                answer[name] = statistics.median(wall)
                answer[name + "_cpu"] = statistics.median(processor)
            answers.append(answer)
        return min(answers, key=lambda a: a["both_cpu"])


class Gtrain:
    """The program, waiting for how many repetitions to make."""

    def __init__(self, program, case, sizes, hops, folder, numpy):
        path = pathlib.Path(folder)
        numpy.array(sizes, numpy.int64).tofile(path / "sizes")
        command = [program, str(path / "sizes"), str(case.heads), str(case.width),
                   str(case.dropout), "1", "float"]
        if case.bias:
            numpy.concatenate([h.ravel() for h in hops]).tofile(path / "hops")
            command += [str(path / "hops"), str(BUCKETS)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, repetitions):
        self.process.stdin.write(f"{repetitions}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"gtrain_bench_varlen ended with exit code {self.process.wait()}")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def sgemm_gflops(torch):
    """The best of a few products in cache, one thread."""
    best = 0.0
    for m, n, k in ((768, 768, 768), (1536, 256, 512)):
        a, b, c = torch.randn(m, k), torch.randn(k, n), torch.empty(m, n)
        for _ in range(8):
            begin = time.perf_counter()
            torch.mm(a, b, out=c)
            best = max(best, 2e-9 * m * n * k / (time.perf_counter() - begin))
    return best


def processor():
    info = pathlib.Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else ():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def bench(case, args, numpy, torch, gflops):
    graphs = make_graphs(numpy, case)
    hops = [hops_of(numpy, n, near) for n, near in graphs] if case.bias else []
    sizes = [n + 1 if case.bias else n for n, _ in graphs]
    pairs = sum(n * n for n in sizes)
    padded = Padded(torch, case, sizes, hops)
    with tempfile.TemporaryDirectory() as folder:
        gtrain = Gtrain(args.program, case, sizes, hops, folder, numpy)
        rounds = {"torch": [], "gtrain": []}
        gtrain.run(3)
        for _ in range(args.rounds):
            rounds["torch"].append(padded.run(args.repetitions))
            rounds["gtrain"].append(gtrain.run(args.gtrain_repetitions))
        gtrain.close()

    def middle(side, what):
        return statistics.median(r[what] for r in rounds[side])

    bound = 12e-6 * pairs * case.width / gflops
    ratio = middle("torch", "both") / middle("gtrain", "both")
    cpu_ratio = middle("torch", "both_cpu") / middle("gtrain", "both_cpu")
    print(f"{case.name}: {len(sizes)} graphs, {sum(sizes)} rows, Σn² {pairs}, longest {max(sizes)}, "
          f"{case.heads} heads, width {case.width}, dropout {case.dropout}")
    for side in rounds:
        print(f"  {side:<7} forward {middle(side, 'forward'):9.3f} ms   both "
              f"{middle(side, 'both'):9.3f} ms   (processor {middle(side, 'forward_cpu'):9.3f}, "
              f"{middle(side, 'both_cpu'):9.3f})")
    target = f", target {case.target}" if case.target else ""
    print(f"  ratio {ratio:.1f} (processor {cpu_ratio:.1f}{target}); bound {bound:.3f} ms, "
          f"{100 * bound / middle('gtrain', 'both_cpu'):.0f} % of it reached", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", required=True, help="gtrain_bench_varlen")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repetitions", type=int, default=3, help="of torch in a round")
    parser.add_argument("--gtrain-repetitions", type=int, default=15)
    parser.add_argument("cases", nargs="*", help=f"of {', '.join(c.name for c in CASES)}; none: all")
    args = parser.parse_args()

    import numpy
    import torch

    torch.set_num_threads(1)
    gflops = sgemm_gflops(torch)
    print("command:", shlex.join([pathlib.Path(sys.executable).name, *sys.argv]))
    print(f"machine: {processor()}, {os.cpu_count()} processors, load average "
          f"{os.getloadavg()[0]:.2f}, {platform.platform()}")
    print(f"torch {torch.__version__}, 1 thread; sgemm {gflops:.0f} GFLOP/s; medians of "
          f"{args.rounds} rounds", flush=True)
    for case in CASES:
        if not args.cases or case.name in args.cases:
            bench(case, args, numpy, torch, gflops)
    print(f"load average at the end: {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
