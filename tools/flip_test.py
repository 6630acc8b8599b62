#!/usr/bin/env python3
"""Damages an exported file in random ways and asks gtrain predict to run it: each damage has to be
found (exit 3, one line that names the file), none may end the program by a signal.

    tools/flip_test.py [--gtrain build/release/bin/gtrain] [--count 1000] [--seed N] [--file F.pt]

Without --file a quickstart model is trained for one epoch and exported.
"""

import argparse
import os
import pathlib
import random
import subprocess
import sys
import tempfile

RECIPE = ["quickstart", "train.epochs=1", "train.schedule.warmup=0", "model.width=16",
          "model.layers=1", "model.encoders[0].dim=4"]


def run(arguments, *words):
    return subprocess.run([arguments.gtrain, *map(str, words)], capture_output=True, text=True,
                          errors="replace")


def checked(process):
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(process.args)}: exit {process.returncode}\n{process.stderr}")
    return process


def exported(arguments, folder):
    checked(run(arguments, "train", *RECIPE, "--run", folder / "run", "--quiet", "--threads", 1))
    checked(run(arguments, "export", folder / "run", "--out", folder / "model.pt", "--threads", 1))
    return folder / "model.pt"


def flip_bit(data, rng):
    at = rng.randrange(len(data))
    data[at] ^= 1 << rng.randrange(8)
    return f"bit of byte {at} flipped"


def flip_end(data, rng):
    """The end record, the length of the comment and the seal in it: no hash covers them."""
    at = len(data) - 1 - rng.randrange(66)
    data[at] ^= 1 << rng.randrange(8)
    return f"bit of byte {at} of {len(data)} flipped"


def other_byte(data, rng):
    at = rng.randrange(len(data))
    data[at] = (data[at] + rng.randrange(1, 256)) % 256
    return f"byte {at} changed"


def truncate(data, rng):
    size = rng.randrange(len(data))
    del data[size:]
    return f"cut to {size} bytes"


def empty(data, _):
    data.clear()
    return "emptied"


def append(data, rng):
    tail = rng.randbytes(rng.randrange(1, 100))
    data += tail
    return f"{len(tail)} bytes appended"


def drop(data, rng):
    at, size = rng.randrange(len(data)), rng.randrange(1, 5000)
    del data[at:at + size]
    return f"up to {size} bytes from {at} left out"


def zero(data, rng):
    at, size = rng.randrange(len(data) - 1), rng.randrange(1, 5000)
    before = bytes(data)
    data[at:at + size] = bytes(len(data[at:at + size]))
    if bytes(data) == before:
        return flip_bit(data, rng)
    return f"up to {size} bytes from {at} zeroed"


DAMAGES = [flip_bit] * 6 + [flip_end] * 2 + [other_byte] * 2 + [truncate] * 4 + [append, drop, zero,
                                                                                 empty]


def problem_of(process, path, out):
    if process.returncode < 0:
        return f"ended by signal {-process.returncode}"
    if process.returncode != 3:
        return f"exit {process.returncode}: {process.stderr.strip()[-300:]}"
    if str(path) not in process.stderr:
        return f"the message does not name the file: {process.stderr.strip()[-300:]}"
    return "wrote predictions" if out.exists() else None


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gtrain", default="build/release/bin/gtrain")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--file", type=pathlib.Path)
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    rng = random.Random(arguments.seed)
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        os.environ.setdefault("GTRAIN_CACHE", str(folder / "cache"))
        file = arguments.file or exported(arguments, folder)
        whole = file.read_bytes()
        out = folder / "out.csv"
        checked(run(arguments, "predict", file, "--out", out, "--threads", 1))
        out.unlink()
        for i in range(arguments.count):
            data = bytearray(whole)
            what = DAMAGES[i % len(DAMAGES)](data, rng)
            path = folder / "damaged.pt"
            path.write_bytes(data)
            problem = problem_of(
                run(arguments, "predict", path, "--out", out, "--threads", 1), path, out)
            if problem:
                failures += 1
                print(f"{what}: {problem}", flush=True)
    print(f"{arguments.count - failures} of {arguments.count} damages found")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
