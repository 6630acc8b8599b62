#!/usr/bin/env python3
"""Plants faults in the CUDA kernels and asks their emulated tests whether they notice.

    tools/mutate_kernels.py --file row.cu                     # every mutant of one source
    tools/mutate_kernels.py --each operator --jobs 2          # each operator once on every line
    tools/mutate_kernels.py --sample 40 --seed 1 --jobs 2     # 40 mutants of each source
    tools/mutate_kernels.py --resume state.jsonl --again      # those that survived once more
    tools/mutate_kernels.py --resume state.jsonl --table      # only the table of what was run

A mutant is one line of src/ops/cuda/*.cu or *.cuh changed by one operator
(mutation_operators.py). Objects are compiled for the emulator as cmake/GtrainSimt.cmake does,
linked with tests/cuda/<op>_test.cpp and run, first under three schedules, then under all. Most
mutants are tried in one build that holds them together (mutant_schema.py); one that nothing
catches there is compiled alone and tried again, as are those that cannot be held together.
Caught: a test fails, the emulator finds something, or the time is up. Not counted: what does not
compile. Equivalent: the object code is the same, or tools/mutants_equivalent.txt gives a reason
(lines `file | before | after | reason`). Prints survivors as they are found, then a table.
"""

import argparse
import collections
import concurrent.futures
import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import threading
import time

import mutant_schema
import mutation_operators

ROOT = pathlib.Path(__file__).resolve().parent.parent
CUDA = ROOT / "src/ops/cuda"
CXX = os.environ.get("CXX", "g++")
KERNEL_FLAGS = ["-x", "c++", "-std=c++17", "-O1",
                "-fsanitize=thread,bounds-strict,signed-integer-overflow,shift-exponent,"
                "integer-divide-by-zero",
                "--param=tsan-instrument-func-entry-exit=0", "-fno-exceptions", "-fno-thread-jumps",
                "-fno-tree-vectorize", "-w"]
HOST_FLAGS = ["-std=c++20", "-O1", "-w"]
LIBRARIES = [*(["-fuse-ld=mold"] if shutil.which("mold") else []), "-lboost_context", "-lgmock", "-lgtest",
             "-lgtest_main", "-lpthread"]
INTERFACE = {"device.cuh", "device_ptx.cuh"}  # PTX, and what the emulator puts in its place


def run(command, limit=600, env=None):
    """Exit status, or None when the time is up; output is dropped."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               env={**os.environ, **(env or {})})
    try:
        return process.wait(timeout=limit)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return None


def included(path, seen=None):
    """The files of src/ops/cuda that a source includes, directly or not."""
    seen = set() if seen is None else seen
    for name in re.findall(r'#include "ops/cuda/([\w.]+)"', path.read_text()):
        if name not in seen and (CUDA / name).exists():
            seen.add(name)
            included(CUDA / name, seen)
    return seen


class Bench:
    """The unchanged objects and programs, and which tests a source has."""

    def __init__(self, work):
        self.work = work
        self.sources = sorted(CUDA.glob("*.cu"))
        self.includes = {s.name: included(s) for s in self.sources}
        self.ops = {}  # op -> its .cu files
        names = sorted((p.name[:-len("_test.cpp")] for p in (ROOT / "tests/cuda").glob("*_test.cpp")),
                       key=len, reverse=True)
        for source in self.sources:
            op = next((n for n in names if source.stem == n or source.stem.startswith(n + "_")), None)
            if op:
                self.ops.setdefault(op, []).append(source)
        self.seconds = {}

    @staticmethod
    def command(source, target, overlay=None):
        paths = ([f"-I{overlay}"] if overlay else []) + [f"-I{ROOT}/src", f"-I{ROOT}/tests"]
        maps = [f"-ffile-prefix-map={overlay}={ROOT}/src"] if overlay else []
        return [CXX, *KERNEL_FLAGS, *maps, *paths, "-c", str(source), "-o", str(target)]

    def compile(self, source, target, overlay=None):
        return run(self.command(source, target, overlay)) == 0

    def link(self, op, objects, target):
        return run([CXX, str(self.work / f"{op}_test.o"), *map(str, objects),
                    str(self.work / "libsimt.a"), *LIBRARIES, "-o", str(target)]) == 0

    def object_of(self, source):
        return self.work / f"{source.stem}.o"

    def prepare(self, ops, jobs):
        """Everything unchanged, compiled and timed; raises where a test fails already."""
        tasks = [(self.compile, (s, self.object_of(s))) for op in ops for s in self.ops[op]]
        host = [f"-I{ROOT}/src", f"-I{ROOT}/tests"]
        emulator = sorted((ROOT / "tests/support/simt").glob("*.cpp"))
        units = [(s, f"simt_{s.stem}.o", ["-O2"]) for s in emulator]
        units += [(ROOT / f"tests/cuda/{op}_test.cpp", f"{op}_test.o", []) for op in ops]
        for source, name, flags in units:
            tasks.append((lambda *c: run(list(c)) == 0,
                          (CXX, *HOST_FLAGS, *flags, *host, "-c", str(source), "-o",
                           str(self.work / name))))
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            if not all(pool.map(lambda t: t[0](*t[1]), tasks)):
                raise SystemExit("the unchanged sources do not compile")
        (self.work / "libsimt.a").unlink(missing_ok=True)
        run(["ar", "rc", str(self.work / "libsimt.a"),
             *(str(self.work / f"simt_{s.stem}.o") for s in emulator)])
        for op in ops:
            program = self.work / op
            self.link(op, [self.object_of(s) for s in self.ops[op]], program)
            begin = time.time()
            if self.test(program, 600, {}) != 0:
                raise SystemExit(f"{op}: the unchanged kernels fail their test")
            self.seconds[op] = time.time() - begin

    @staticmethod
    def test(program, limit, env):
        return run([str(program), "--gtest_brief=1", "--gtest_fail_fast"], limit, env)

    def tests_of(self, name):
        """(op, its sources that change) for a mutated file, the quickest first."""
        found = []
        for op, sources in self.ops.items():
            changed = [s for s in sources if s.name == name or name in self.includes[s.name]]
            if changed:
                found.append((op, changed))
        return sorted(found, key=lambda f: self.seconds.get(f[0], 0))

    def judge(self, name, text, folder):
        """caught, survived, invalid or same, for a file of src/ops/cuda with this text."""
        overlay = folder / "src"
        (overlay / "ops/cuda").mkdir(parents=True)
        mutated = overlay / "ops/cuda" / name
        mutated.write_text(text)
        programs, same = [], True
        for op, changed in self.tests_of(name):
            objects = []
            for source in self.ops[op]:
                target = self.object_of(source)
                if source in changed:
                    target = folder / f"{source.stem}.o"
                    origin = mutated if source.name == name else source
                    if not self.compile(origin, target, overlay):
                        return "invalid"
                    same = same and target.read_bytes() == self.object_of(source).read_bytes()
                objects.append(target)
            program = folder / op
            if same:
                continue
            if not self.link(op, objects, program):
                return "invalid"
            if self.fails(op, program, {"GTRAIN_SIMT_SCHEDULES": "3"}):
                return "caught"
            programs.append((op, program))
        if same:
            return "same"
        return "caught" if any(self.fails(op, p, {}) for op, p in programs) else "survived"

    def fails(self, op, program, env):
        return self.test(program, 10 * self.seconds[op] + 20, env) != 0


class Together:
    """Programs that hold the mutants of all sources, chosen by GTRAIN_MUTANT when they run."""

    def __init__(self, bench, tasks, jobs):
        self.bench, self.jobs = bench, jobs
        self.work = bench.work / "together"
        self.overlay = self.work / "src"
        shutil.rmtree(self.work, ignore_errors=True)
        (self.overlay / "ops/cuda").mkdir(parents=True)
        self.number = {identity: i for i, (identity, *_) in enumerate(tasks, 1)}
        self.sources = collections.defaultdict(list)  # file -> (number, mutant)
        for identity, name, _, mutant in tasks:
            self.sources[name].append((self.number[identity], mutant))
        self.ops = sorted({op for name in self.sources for op, _ in bench.tests_of(name)})
        self.held = set()
        self.seconds = {}
        self.build()

    def build(self):
        header, switch = self.work / "mutant.h", self.work / "mutant.cpp"
        header.write_text(mutant_schema.SWITCH_HEADER)
        switch.write_text(mutant_schema.SWITCH_SOURCE)
        run([CXX, *HOST_FLAGS, "-c", str(switch), "-o", str(self.work / "mutant.o")])
        left, held = {n: list(m) for n, m in self.sources.items()}, {}
        for name in left:
            held[name] = self.write(name, left[name])
        pending = [s for op in self.ops for s in self.bench.ops[op]]
        while pending:
            with concurrent.futures.ThreadPoolExecutor(self.jobs) as pool:
                messages = list(pool.map(self.compile, pending))
            changed = self.leave_out(messages, left, held)
            pending = [s for op in self.ops for s in self.bench.ops[op]
                       if s.name in changed or self.bench.includes[s.name] & changed]
        self.held = {i for places in held.values() for ids in places.values() for i in ids}
        for op in self.ops:
            objects = [self.work / f"{s.stem}.o" for s in self.bench.ops[op]]
            self.bench.link(op, [*objects, self.work / "mutant.o"], self.work / op)
            begin = time.time()
            if self.fails(op, 0, {"GTRAIN_SIMT_SCHEDULES": "3"}, 600) or self.fails(op, 0, {}, 600):
                raise SystemExit(f"{op}: fails with all mutants switched off")
            self.seconds[op] = time.time() - begin

    def write(self, name, mutants):
        lines = (CUDA / name).read_text().splitlines()
        text, held = mutant_schema.instrument(lines, mutants)
        (self.overlay / "ops/cuda" / name).write_text("\n".join(text) + "\n")
        return held

    def compile(self, source):
        """What the compiler says where it fails, else nothing."""
        path = self.overlay / "ops/cuda" / source.name
        command = self.bench.command(path if path.exists() else source,
                                     self.work / f"{source.stem}.o", self.overlay)
        done = subprocess.run([*command, "-include", str(self.work / "mutant.h")],
                              capture_output=True, text=True)
        return done.stderr if done.returncode else ""

    def leave_out(self, messages, left, held):
        """Drops the statements that errors name, else those that their notes name, else the last
        before an error: a declaration that is now hidden in a block."""
        changed = set()
        for message in filter(None, messages):
            found = re.findall(r"ops/cuda/([\w.]+):(\d+):\d+:\s+(\S+)", message)
            wrong = {(n, int(line)) for n, line, kind in found
                     if kind.startswith("error") and int(line) in held.get(n, {})}
            wrong = wrong or {(n, int(line)) for n, line, _ in found if int(line) in held.get(n, {})}
            wrong = wrong or {(n, max(before)) for n, line, kind in found if kind.startswith("error")
                              and (before := [at for at in held.get(n, {}) if at < int(line)])}
            if not wrong and not changed:
                raise SystemExit(f"the mutants do not compile together:\n{message[:4000]}")
            for name, line in wrong:
                gone = set(held[name].get(line, []))
                left[name] = [pair for pair in left[name] if pair[0] not in gone]
                changed.add(name)
        for name in changed:
            held[name] = self.write(name, left[name])
        return changed

    def fails(self, op, number, env, limit):
        return self.bench.test(self.work / op, limit, {**env, "GTRAIN_MUTANT": str(number)}) != 0

    def catches(self, identity, name):
        """Whether a test notices the mutant; None where it is not held."""
        number = self.number[identity]
        if number not in self.held:
            return None
        ops = [op for op, _ in self.bench.tests_of(name)]
        return any(self.fails(op, number, env, 5 * self.seconds[op] + 10)
                   for env in ({"GTRAIN_SIMT_SCHEDULES": "3"}, {}) for op in ops)


def equivalents():
    path, known = ROOT / "tools/mutants_equivalent.txt", {}
    if path.exists():
        for line in path.read_text().splitlines():
            if line.strip() and not line.startswith("#"):
                file, before, after, reason = (part.strip() for part in line.split(" | ", 3))
                known[file, before, after] = reason
    return known


def unexplained(record, known):
    """Whether a record is of a survivor for which no reason is given."""
    return (record is not None and record["result"] == "survived"
            and (record["file"], record["before"], record["after"].strip()) not in known)


def once(found, each, seed):
    """One mutant, drawn by the seed, for each operator on each line, or for each line. The latter
    are among the former, so that a run by line is the beginning of a run by operator."""
    def drawn(groups, key):
        digest = hashlib.sha256(f"{seed} {key}".encode()).digest()
        return random.Random(digest).choice(groups[key])

    sites = collections.defaultdict(list)
    for m in found:
        sites[m.line, m.operator].append(m)
    by_line = collections.defaultdict(list)
    for key in sites:
        by_line[key[0]].append(drawn(sites, key))
    if each == "line":
        return [drawn(by_line, line) for line in by_line]
    return [m for line in by_line.values() for m in line]


def chosen(bench, options):
    """(identity, file name, lines, mutant) in a fixed order. The identity outlives changes of
    other lines: file, operator, texts, and which of the lines that read alike."""
    files = [p for p in sorted(CUDA.glob("*.cu*")) if p.name not in INTERFACE and bench.tests_of(p.name)]
    if options.file:
        files = [p for p in files if p.name in [pathlib.Path(f).name for f in options.file]]
    out = []
    for path in files:
        lines = path.read_text().splitlines()
        found = list(mutation_operators.mutants(lines))
        alike, identity = collections.Counter(), {}
        for m in found:
            key = f"{path.name}|{m.operator}|{m.before}|{m.after.strip()}"
            alike[key] += 1
            identity[m] = f"{key}|{alike[key]}"
        if options.each:
            found = once(found, options.each, f"{options.seed} {path.name}")
        if options.sample and options.sample < len(found):
            digest = hashlib.sha256(f"{options.seed} {path.name}".encode()).digest()
            found = sorted(random.Random(digest).sample(found, options.sample))
        out += [(identity[m], path.name, lines, m) for m in found]
    return out


def table(records):
    """Markdown: a row for each file, and the sum."""
    known = equivalents()
    rows = collections.defaultdict(collections.Counter)
    for r in records.values():
        result = r["result"]
        if result == "same" or (result == "survived" and
                                (r["file"], r["before"], r["after"].strip()) in known):
            result = "equivalent"
        for name in (r["file"], "all"):
            rows[name][result] += 1
    print("\n| source | mutants | caught | survived | equivalent | caught of the others |")
    print("|---|---|---|---|---|---|")
    for name in sorted(n for n in rows if n != "all") + ["all"]:
        c = rows[name]
        counted, real = c["caught"] + c["survived"] + c["equivalent"], c["caught"] + c["survived"]
        rate = f"{100 * c['caught'] / real:.1f} %" if real else "-"
        print(f"| {name} | {counted} | {c['caught']} | {c['survived']} | {c['equivalent']} | {rate} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", action="append", help="a source of src/ops/cuda; may be repeated")
    parser.add_argument("--each", choices=["line", "operator"],
                        help="one mutant of each line, or of each operator on each line")
    parser.add_argument("--sample", type=int, help="at most this many mutants of each source")
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--resume", type=pathlib.Path, help="file of results; what is in it is not run")
    parser.add_argument("--again", action="store_true",
                        help="run only the recorded survivors without a reason")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build/mutants")
    parser.add_argument("--list", action="store_true", help="print the mutants and stop")
    parser.add_argument("--table", action="store_true", help="print the table and stop")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    state = options.resume or options.work / "state.jsonl"
    records = {}
    if options.resume and state.exists():
        records = {r["id"]: r for r in map(json.loads, state.read_text().splitlines())}
    bench = Bench(options.work)
    work = chosen(bench, options)
    if options.again:
        known = equivalents()
        work = [task for task in work if unexplained(records.get(task[0]), known)]
        for task in work:
            del records[task[0]]
    if options.list:
        for _, name, _, m in work:
            print(f"{name}:{m.line + 1}: {m.operator}: {m.before}  ->  {m.after.strip()}")
        return
    if not options.table:
        if not options.resume:
            state.unlink(missing_ok=True)
        evaluate(bench, work, records, state, options)
    table(records)


def evaluate(bench, work, records, state, options):
    todo = [task for task in work if task[0] not in records]
    ops = {op for _, name, _, _ in todo for op, _ in bench.tests_of(name)}
    bench.prepare(sorted(ops), options.jobs)
    together = Together(bench, todo, options.jobs) if len(todo) > 50 else None
    known, lock = equivalents(), threading.Lock()

    def one(task):
        identity, name, lines, m = task
        if together and together.catches(identity, name):
            return note(task, "caught")
        folder = options.work / hashlib.sha256(identity.encode()).hexdigest()[:16]
        shutil.rmtree(folder, ignore_errors=True)
        text = "\n".join(lines[: m.line] + [m.after] + lines[m.line + 1:]) + "\n"
        try:
            result = bench.judge(name, text, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        note(task, result)

    def note(task, result):
        identity, name, _, m = task
        record = {"id": identity, "file": name, "line": m.line + 1, "operator": m.operator,
                  "before": m.before, "after": m.after, "result": result}
        with lock:
            records[identity] = record
            with state.open("a") as out:
                out.write(json.dumps(record) + "\n")
            if result == "survived" and (name, m.before, m.after.strip()) not in known:
                print(f"{name}:{m.line + 1}: {m.operator}\n  - {m.before}\n  + {m.after.strip()}",
                      flush=True)

    random.Random(options.seed).shuffle(todo)  # what is done when a run is broken off is a sample
    print(f"{len(todo)} mutants of {len({t[1] for t in todo})} sources", file=sys.stderr)
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(one, todo))


if __name__ == "__main__":
    main()
