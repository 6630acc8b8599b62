#!/usr/bin/env python3
"""Kills a training run at random moments, lets it go on, and compares it with one that was never
disturbed: weights and states byte for byte, metrics and result except times.

    tools/kill_test.py [--gtrain build/release/bin/gtrain] [--runs 20] [--seed N]
"""

import argparse
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

TIMES = ("seconds", "graphs_per_second", "peak_rss_bytes")
RECIPE = ["train", "quickstart", "train.epochs=10", "train.schedule.warmup=1"]


def without_times(text):
    values = json.loads(text)
    return {key: value for key, value in values.items() if key not in TIMES}


def content(run):
    """Everything about a finished run that must not depend on interruptions."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return {
        "last.safetensors": (run / "last.safetensors").read_bytes(),
        "best.safetensors": (run / "best.safetensors").read_bytes(),
        "metrics.jsonl": [without_times(line) for line in lines],
        "result.json": without_times((run / "result.json").read_text()),
    }


def train(arguments, run, kill_after, how):
    command = [arguments.gtrain, *RECIPE, "--run", str(run), "--resume", "--quiet"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    if kill_after is not None:
        try:
            process.wait(kill_after)
        except subprocess.TimeoutExpired:
            process.send_signal(how)
    errors = process.stderr.read()
    if process.wait() not in (0, -signal.SIGKILL, 128 + signal.SIGTERM, -signal.SIGTERM):
        raise SystemExit(f"{' '.join(command)}: exit {process.returncode}\n{errors}")
    return process.returncode == 0


def disturbed(arguments, run, duration, rng):
    how = rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGTERM])
    kills = rng.randint(1, 4)
    for _ in range(kills):
        if train(arguments, run, rng.uniform(0, 0.6 * duration), how):
            return f"{how.name}, finished early"
    train(arguments, run, None, how)
    return f"{how.name} x {kills}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gtrain", default="build/release/bin/gtrain")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    rng = random.Random(arguments.seed)
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        os.environ["GTRAIN_CACHE"] = str(folder / "cache")
        train(arguments, folder / "warm", None, None)  # imports the data
        start = time.monotonic()
        train(arguments, folder / "whole", None, None)
        duration = time.monotonic() - start
        want = content(folder / "whole")
        for i in range(arguments.runs):
            run = folder / str(i)
            what = disturbed(arguments, run, duration, rng)
            got = content(run)
            different = [name for name in want if got[name] != want[name]]
            failures += bool(different)
            print(f"{i + 1:3} {what}: {'differs in ' + ', '.join(different) if different else 'same'}",
                  flush=True)
    print(f"{arguments.runs - failures} of {arguments.runs} as undisturbed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
