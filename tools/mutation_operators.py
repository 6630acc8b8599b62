"""The mechanical faults that mutate_kernels.py plants: mutants(lines) of a formatted source.

Works on text, one line at a time (clang-format puts spaces around binary operators, and none around
template brackets); what does not compile afterwards is not counted. Comments, preprocessor lines,
includes, explicit instantiations and strings are left alone.
"""

import re
from typing import Iterator, NamedTuple


class Mutant(NamedTuple):
    line: int  # from 0
    operator: str
    before: str
    after: str


SWAPS = [  # name, token, replacements; the spaces belong to the token
    ("bound", " < ", [" <= "]), ("bound", " <= ", [" < "]),
    ("bound", " > ", [" >= "]), ("bound", " >= ", [" > "]),
    ("condition", " == ", [" != "]), ("condition", " != ", [" == "]),
    ("condition", " && ", [" || "]), ("condition", " || ", [" && "]),
    ("arithmetic", " + ", [" - "]), ("arithmetic", " - ", [" + "]),
    ("arithmetic", " * ", [" + "]), ("arithmetic", " / ", [" * "]), ("arithmetic", " % ", [" / "]),
    ("arithmetic", " << ", [" >> "]), ("arithmetic", " >> ", [" << "]),
    ("arithmetic", " & ", [" | "]), ("arithmetic", " | ", [" & "]), ("arithmetic", " ^ ", [" | "]),
    ("update", " += ", [" -= ", " = "]), ("update", " -= ", [" += "]), ("update", " *= ", [" += "]),
]
WORDS = [
    ("choice", r"\bmin\(", "max("), ("choice", r"\bmax\(", "min("),
    ("choice", r"\bfminf\(", "fmaxf("), ("choice", r"\bfmaxf\(", "fminf("),
    ("literal", r"\btrue\b", "false"), ("literal", r"\bfalse\b", "true"),
    ("axis", r"\b(blockIdx|threadIdx|blockDim|gridDim)\.x\b", r"\1.y"),
    ("axis", r"\b(blockIdx|threadIdx|blockDim|gridDim)\.y\b", r"\1.x"),
    ("mask", r"\bkAllLanes\b", "0xffffu"), ("mask", r"~0u\b", "0xffffu"),
    ("mask", r"\b0xffffffffu?\b", "0xffffu"),
    ("copy", r"\bcp_async_wait<0>", "cp_async_wait<1>"),
    ("copy", r"\bcp_async_wait<1>", "cp_async_wait<2>"),
    ("matrix", r"\bldmatrix_x([24])_trans\(", r"ldmatrix_x\1("),
    ("matrix", r"\bldmatrix_x([24])\(", r"ldmatrix_x\1_trans("),
    ("lane", r"(__shfl_\w+_sync\(.*), (\w+)\)", r"\1, (\2) / 2)"),
    ("lane", r"(__shfl_\w+_sync\(.*), (\w+)\)", r"\1, (\2) + 1)"),
]
NUMBER = re.compile(r"(?<![\w.])(\d+)(u?)(?![\w.])")
DECLARATION = re.compile(r"^\s*(const |constexpr |static |using |typedef |auto |template|struct |"
                         r"return\b|case |break|default|extern |namespace |inline |__)")
STATEMENT = re.compile(r"^\s*[^\s].*;$")
SIGNATURE = re.compile(r"^\s*(__device__|inline|static|void|constexpr) .*\{$|^void ")
TYPED = re.compile(r"^\s*[\w:<>,]+[\s*&]+\w+( =|;|\[|\()")  # `int x = …;`


def arguments(text: str, start: int):
    """The top-level arguments of a call whose bracket opens at `start`, with their spans."""
    depth, spans, begin = 0, [], start + 1
    for i in range(start, len(text)):
        if text[i] in "([{":
            depth += 1
        elif text[i] in ")]}":
            depth -= 1
            if depth == 0:
                spans.append((begin, i))
                return spans if text[begin:i].strip() else []
        elif text[i] == "," and depth == 1:
            spans.append((begin, i))
            begin = i + 1
    return []


def swapped_arguments(code: str) -> Iterator[str]:
    """Each call with two neighbouring arguments exchanged."""
    for call in re.finditer(r"\w\(", code):
        spans = arguments(code, call.end() - 1)
        for (a, b), (c, d) in zip(spans, spans[1:]):
            first, second = code[a:b].strip(), code[c:d].strip()
            if first != second:
                lead = code[a:b][: len(code[a:b]) - len(code[a:b].lstrip())]
                yield code[:a] + lead + second + ", " + first + code[d:]


def inverted(code: str) -> Iterator[str]:
    """Conditions of if and ?: turned round."""
    for start in re.finditer(r"\bif (constexpr )?\(", code):
        spans = arguments(code, start.end() - 1)
        if spans:
            a, b = spans[0][0], spans[-1][1]
            yield code[:a] + "!(" + code[a:b] + ")" + code[b:]
    ternary = re.search(r" \? ([^?:]+) : ([^?:;,]+)(?=[;,)]|$)", code)
    if ternary and ternary.group(2).count("(") == ternary.group(2).count(")"):
        yield (code[: ternary.start()] + f" ? {ternary.group(2)} : {ternary.group(1)}" +
               code[ternary.end():])


def removed(code: str, opens: bool) -> Iterator[tuple[str, str]]:
    """The statement left out. `opens`: the line before ended a statement, so this one is whole."""
    if re.search(r"\b(__syncthreads|__syncwarp)\(.*\);$", code):
        yield "barrier", re.sub(r"\b(__syncthreads|__syncwarp)\(.*\);$", ";", code)
    elif (opens and STATEMENT.match(code) and not DECLARATION.match(code)
          and not TYPED.match(code) and code.count("(") == code.count(")")
          and not re.match(r"^\s*(for|while|if|else|do)\b", code)):
        yield "statement", re.match(r"^\s*", code).group() + ";"
    guarded = re.match(r"^(\s*(?:if|for|while) \(.*\)) ([^;{]+;)$", code)
    if guarded and guarded.group(1).count("(") == guarded.group(1).count(")"):
        yield "statement", guarded.group(1) + " {}"


def of_line(code: str, opens: bool) -> Iterator[tuple[str, str]]:
    for name, token, replacements in SWAPS:
        for found in re.finditer(re.escape(token), code):
            for replacement in replacements:
                yield name, code[: found.start()] + replacement + code[found.end():]
    for name, pattern, replacement in WORDS:
        for found in re.finditer(pattern, code):
            yield name, code[: found.start()] + found.expand(replacement) + code[found.end():]
    for found in NUMBER.finditer(code):
        value = int(found.group(1))
        for other in {value + 1, max(value - 1, 0)} - {value}:
            yield "number", code[: found.start()] + f"{other}{found.group(2)}" + code[found.end():]
    for changed in [] if SIGNATURE.match(code) else swapped_arguments(code):
        yield "arguments", changed
    for changed in inverted(code):
        yield "condition", changed
    yield from removed(code, opens)


def mutants(lines: list[str]) -> Iterator[Mutant]:
    """All mutants of a source, in its order, each text once."""
    opens, directive = True, False
    for number, line in enumerate(lines):
        code = line.split("//")[0].rstrip()
        stripped = code.strip()
        inside = directive
        directive = (stripped.startswith("#") or inside) and stripped.endswith("\\")
        if not stripped or stripped.startswith("#") or inside or '"' in code:
            continue
        signature = re.match(r"^(template|using|namespace|extern|struct|class|__global__)\b", stripped)
        if not signature and "static_assert" not in code:
            seen = {code}
            for name, changed in of_line(code, opens):
                if changed not in seen:
                    seen.add(changed)
                    yield Mutant(number, name, code.strip(), changed)
        opens = stripped[-1] in ";{}:"
