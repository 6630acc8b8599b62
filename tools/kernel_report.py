#!/usr/bin/env python3
"""Registers, spills and forbidden instructions of every CUDA kernel, for sm_80 and sm_90.

    tools/kernel_report.py            compile src/ops/cuda/*.cu and write docs/kernel_report.{json,md}
    tools/kernel_report.py --check    compare with the committed report; fail where a kernel spills,
                                      has a stack frame, is not in the report or takes more registers
                                      than it says
    tools/kernel_report.py --control  show that every gate closes on a kernel made to offend
    FILE.cu …                         only these; without --check their part of the report is written

nvcc is $NVCC, the one of tools/cuda_build.sh, or the one in PATH; without one this exits with 77.
The gates on instructions need cuobjdump beside nvcc and are left out, with a message, without it.
"""

import argparse
import concurrent.futures
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
KERNELS = os.path.join(ROOT, "src", "ops", "cuda")
CONTROL = os.path.join(ROOT, "tests", "tools", "kernel_gate.cu")
REPORT = os.path.join(ROOT, "docs", "kernel_report.json")
PAGE = os.path.join(ROOT, "docs", "kernel_report.md")
ARCHITECTURES = ("sm_80", "sm_90")

# What the instructions of a kernel may not contain, and why.
FORBIDDEN = {
    "local memory": re.compile(r"\b(LDL|STL)\b"),
    "atomic on floats in shared memory": re.compile(r"\bATOMS\.CAST\.SPIN"),
    "atomic in global memory": re.compile(r"\b(ATOMG|RED|ATOM)\b"),
}
# Of kernels that do not compute in double.
FORBIDDEN_SINGLE = {
    "double arithmetic": re.compile(r"\b(DADD|DFMA|DMUL|DSETP)\b|\bF2F\.\S*F64|\bI2F\.F64"),
}


def find_nvcc():
    own = os.path.join(ROOT, ".deps", "cuda-toolkit", "bin", "nvcc")
    candidates = [os.environ.get("NVCC"), own if os.access(own, os.X_OK) else None,
                  shutil.which("nvcc")]
    return next((c for c in candidates if c), None)


def find_cuobjdump(nvcc):
    own = os.path.join(ROOT, ".deps", "cuda-toolkit", "bin", "cuobjdump")
    beside = os.path.join(os.path.dirname(os.path.realpath(nvcc)), "cuobjdump")
    candidates = [beside if os.access(beside, os.X_OK) else None,
                  own if os.access(own, os.X_OK) else None, shutil.which("cuobjdump")]
    return next((c for c in candidates if c), None)


def demangle(names):
    """Mangled names -> short ones: without namespaces and parameters."""
    out = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True,
                         check=True).stdout.split("\n")
    short = {}
    for mangled, name in zip(names, out):
        name = name.replace("(anonymous namespace)::", "").replace("gtrain::ops::cuda::", "")
        name = re.sub(r"^void ", "", name)
        depth = 0
        for i, character in enumerate(name):  # the parameters begin outside of every <…>
            depth += {"<": 1, ">": -1}.get(character, 0)
            if character == "(" and depth == 0:
                name = name[:i]
                break
        name = re.sub(r"\((?:int|bool|unsigned int)\)", "", name)
        short[mangled] = name
    return short


def parse_ptxas(text):
    kernels, current = {}, None
    for line in text.split("\n"):
        if match := re.search(r"Compiling entry function '(\S+)'", line):
            current = kernels.setdefault(match[1], {"registers": 0, "stack": 0, "spills": 0,
                                                    "shared": 0})
        elif current is None:
            continue
        elif match := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+)", line):
            current["stack"] = int(match[1])
            current["spills"] = int(match[2]) + int(match[3])
        elif match := re.search(r"Used (\d+) registers", line):
            current["registers"] = int(match[1])
            if shared := re.search(r"(\d+) bytes smem", line):
                current["shared"] = int(shared[1])
    return kernels


def parse_sass(text):
    """Mangled name -> the opcodes of the kernel, one a line."""
    kernels, current = {}, None
    for line in text.split("\n"):
        if match := re.search(r"Function : (\S+)", line):
            current = kernels.setdefault(match[1], [])
        elif current is not None and (match := re.match(r"\s*/\*[0-9a-f]+\*/\s+(.*?);", line)):
            current.append(re.sub(r"^@!?U?P\w+\s+", "", match[1]).split(" ")[0])
    return {name: "\n".join(lines) for name, lines in kernels.items()}


def compile_kernels(nvcc, cuobjdump, source, architecture):
    with tempfile.TemporaryDirectory() as folder:
        cubin = os.path.join(folder, "kernels.cubin")
        done = subprocess.run(
            [nvcc, "-std=c++17", "-arch=" + architecture, "-I" + os.path.join(ROOT, "src"),
             "-Xptxas", "-v", "-cubin", "-o", cubin, source], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{source}: nvcc failed for {architecture}\n{done.stderr}{done.stdout}")
        kernels = parse_ptxas(done.stderr + done.stdout)
        sass = {}
        if cuobjdump:
            dump = subprocess.run([cuobjdump, "-sass", cubin], capture_output=True, text=True,
                                  check=True)
            sass = parse_sass(dump.stdout)
    short = demangle(list(kernels))
    result = {}
    for mangled, figures in kernels.items():
        name = short[mangled]
        opcodes = sass.get(mangled, "")
        gates = dict(FORBIDDEN)
        if "double" not in name:
            gates.update(FORBIDDEN_SINGLE)
        figures["offences"] = sorted(what for what, pattern in gates.items()
                                     if pattern.search(opcodes))
        result[name] = figures
    return result


def measure(nvcc, sources, jobs):
    cuobjdump = find_cuobjdump(nvcc)
    if not cuobjdump:
        print("no cuobjdump: the gates on instructions are left out")
    report = {}
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        tasks = {(source, architecture): pool.submit(compile_kernels, nvcc, cuobjdump, source,
                                                     architecture)
                 for source in sources for architecture in ARCHITECTURES}
        for (source, architecture), task in tasks.items():
            table = report.setdefault(os.path.basename(source), {})
            for name, figures in task.result().items():
                table.setdefault(name, {})[architecture] = figures
    return report


def gate(report):
    """What no kernel may have, as lines."""
    lines = []
    for source, kernels in sorted(report.items()):
        for name, by_architecture in sorted(kernels.items()):
            for architecture, figures in by_architecture.items():
                where = f"{source}: {name} ({architecture})"
                if figures["spills"] or figures["stack"]:
                    lines.append(f"{where}: {figures['spills']} bytes spilled, stack frame of "
                                 f"{figures['stack']} bytes")
                lines += [f"{where}: {what}" for what in figures["offences"]]
    return lines


def compare(report, committed):
    """Where the figures are worse than the committed ones, as lines."""
    lines = []
    for source, kernels in sorted(report.items()):
        for name, by_architecture in sorted(kernels.items()):
            budget = committed.get(source, {}).get(name)
            if budget is None:
                lines.append(f"{source}: {name} is not in docs/kernel_report.json")
                continue
            for architecture, figures in by_architecture.items():
                if figures["registers"] > budget[architecture][0]:
                    lines.append(f"{source}: {name} ({architecture}): {figures['registers']} "
                                 f"registers; the report has {budget[architecture][0]}")
                if figures["shared"] > budget[architecture][1]:
                    lines.append(f"{source}: {name} ({architecture}): {figures['shared']} bytes of "
                                 f"static shared memory; the report has {budget[architecture][1]}")
    return lines


def page(table, version):
    lines = ["# Kernels: registers, spills, instructions", "",
             "Written by `tools/kernel_report.py` from " + version + "; every instance of every",
             "kernel stands in [kernel_report.json](kernel_report.json) as [registers, bytes of static",
             "shared memory]. `tools/kernel_report.py --check` holds the sources to it. No kernel spills or",
             "has a stack frame. All shared memory is dynamic, sized by the launchers (docs/ops.md). No",
             "kernel has been run on hardware: these are the compiler's figures.", "",
             "| source | kernel | instances | registers sm_80 | sm_90 |", "|---|---|---|---|---|"]
    for source, kernels in table.items():
        groups = {}
        for name, by_architecture in kernels.items():
            groups.setdefault(name.split("<")[0], []).append(by_architecture)
        for base, instances in sorted(groups.items()):
            spread = []
            for architecture in ARCHITECTURES:
                values = [i[architecture][0] for i in instances]
                low, high = min(values), max(values)
                spread.append(str(low) if low == high else f"{low}–{high}")
            lines.append(f"| {source} | {base} | {len(instances)} | {spread[0]} | {spread[1]} |")
    return "\n".join(lines) + "\n"


def write(report, version, keep):
    """Writes the report; of `keep`, the figures of sources that were not compiled now."""
    table = {source: {name: {a: [f["registers"], f["shared"]] for a, f in sorted(figures.items())}
                      for name, figures in sorted(kernels.items())}
             for source, kernels in sorted(report.items())}
    table = dict(sorted({**keep, **table}.items()))
    lines = ["{", f' "compiler": {json.dumps(version)},', ' "kernels": {']
    for s, (source, kernels) in enumerate(table.items()):
        lines.append(f"  {json.dumps(source)}: {{")
        rows = [f"   {json.dumps(name)}: {json.dumps(figures)}" for name, figures in kernels.items()]
        lines.append(",\n".join(rows))
        lines.append("  }" + ("," if s + 1 < len(table) else ""))
    lines += [" }", "}"]
    with open(REPORT, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(page(table, version))


def committed_kernels(sources):
    """The report's figures of the sources that exist and are not among these."""
    if not os.path.exists(REPORT):
        return {}
    with open(REPORT, encoding="utf-8") as file:
        kernels = json.load(file)["kernels"]
    compiled = {os.path.basename(source) for source in sources}
    return {source: table for source, table in kernels.items()
            if source not in compiled and os.path.exists(os.path.join(KERNELS, source))}


def control(nvcc, jobs):
    """Every gate must name the kernel that was written to offend it, and spare the clean one."""
    report = measure(nvcc, [CONTROL], jobs)
    found = gate(report)
    expected = {"spilled": "bytes spilled", "local_array": "local memory",
                "shared_float": "atomic on floats in shared memory",
                "global_float": "atomic in global memory", "stray_wide": "double arithmetic"}
    if not find_cuobjdump(nvcc):
        expected = {"spilled": "bytes spilled"}
    failures = [f"{kernel}: not reported for: {what}" for kernel, what in expected.items()
                if not any(kernel in line and what in line for line in found)]
    failures += [line for line in found if "clean" in line]
    if not compare(report, {}):
        failures.append("kernels that the report lacks pass")
    tight = {source: {name: {a: [f["registers"] - 1, f["shared"]] for a, f in figures.items()}
                      for name, figures in kernels.items()} for source, kernels in report.items()}
    if len(compare(report, tight)) < len(expected):
        failures.append("kernels with one register more than the report pass")
    return failures


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--control", action="store_true")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("sources", nargs="*")
    arguments = parser.parse_args()
    nvcc = find_nvcc()
    if not nvcc:
        print("skipped: no nvcc (tools/cuda_build.sh --toolkit installs one)")
        return 77
    if arguments.control:
        lines = control(nvcc, arguments.jobs)
        print("\n".join(lines) if lines else "every gate closes")
        return 1 if lines else 0
    sources = arguments.sources or sorted(
        os.path.join(KERNELS, name) for name in os.listdir(KERNELS) if name.endswith(".cu"))
    report = measure(nvcc, sources, arguments.jobs)
    lines = gate(report)
    if arguments.check:
        with open(REPORT, encoding="utf-8") as file:
            lines += compare(report, json.load(file)["kernels"])
    else:
        version = subprocess.run([nvcc, "--version"], capture_output=True, text=True,
                                 check=True).stdout
        write(report, "nvcc " + re.search(r"V([\d.]+)", version)[1], committed_kernels(sources))
    print("\n".join(lines) if lines else
          f"{sum(map(len, report.values()))} kernels of {len(report)} files: no spills, no offences")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
