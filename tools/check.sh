#!/usr/bin/env bash
# The fast checks (< 10 s, nothing is built): format, layers, mirror, sizes, leftovers, scripts,
# recipes. Prints every offence, then fails if there was one. Looks at tracked and new files alike,
# not at ignored ones.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

offences=0
offence() {
  printf '%s\n' "$*"
  offences=$((offences + 1))
}

# Files that git knows or would add, matching a regular expression, one per line.
files() {
  git ls-files --cached --others --exclude-standard | LC_ALL=C sort -u | grep -E -- "$1" |
    while IFS= read -r file; do [[ -f $file ]] && printf '%s\n' "$file"; done
}

check_format() {
  if ! command -v clang-format-14 >/dev/null; then
    printf 'skipped: format (clang-format-14 is not installed; tools/test.sh installs it)\n'
    return
  fi
  local file
  while IFS= read -r file; do
    offence "$file: not as clang-format-14 writes it; run clang-format-14 -i $file"
  done < <(files '^(include|src|tests|tools|docs/examples)/.*\.(h|cpp|cu|cuh)$' |
    xargs -P 2 -n 40 clang-format-14 --dry-run 2>&1 |
    sed -n 's/^\([^ :]*\):[0-9]*:[0-9]*: warning: code should be clang-formatted.*/\1/p' |
    LC_ALL=C sort -u)
}

check_layers() {
  local out
  out=$(cmake -P tests/architecture.cmake 2>&1) || offence "$out"
}

# Sources that need neither a header nor a test file of their own, and why.
exempt() {
  case $1 in
    src/*/detail/*) ;;                  # private to the room, tested through what includes them
    src/ops/cpu/* | src/ops/cuda/*) ;;  # kernels behind the op of the same name
    src/ops/autograd/*) ;;              # derivative of the op of the same name
    src/cli/main.cpp) ;;                # the entry point; the program is tested as a whole
    src/cli/launcher.cpp) ;;            # what starts it; tests/install runs it without its libtorch
    *) return 1 ;;
  esac
}

# The public header a source implements: its own, or that of the longest leading part of its name
# (recipe_schema.cpp may be part of recipe.h). A source whose header is private has none.
header_of() {
  local stem=$1
  while [[ ! -f include/gtrain/$stem.h ]]; do
    [[ ${stem##*/} == *_* ]] || return 1
    stem=${stem%_*}
  done
  printf '%s' "$stem"
}

check_mirror() {
  local source stem room header
  while IFS= read -r source; do
    exempt "$source" && continue
    stem=${source#src/}
    stem=${stem%.cpp}
    room=${stem%%/*}
    [[ -f src/$stem.h || -f src/$room/detail/${stem#*/}.h ]] && continue
    if ! header=$(header_of "$stem"); then
      offence "$source: no include/gtrain/$stem.h; private parts belong in src/$room/detail/"
    elif [[ ! -f tests/${stem}_test.cpp && ! -f tests/${header}_test.cpp ]]; then
      offence "$source: no tests/${stem}_test.cpp"
    fi
  done < <(files '^src/.*\.cpp$')
  while IFS= read -r source; do
    stem=${source#tests/}
    stem=${stem%_test.cpp}
    [[ -f src/$stem.cpp || -f include/gtrain/$stem.h ]] ||
      offence "$source: tests neither src/$stem.cpp nor include/gtrain/$stem.h"
  done < <(files '^tests/[a-z]+/[a-z0-9_/]+_test\.cpp$' | grep -vE '^tests/(golden|cuda|simt)/')
  while IFS= read -r source; do
    stem=${source#tests/cuda/}
    [[ -f src/ops/cuda/${stem%_test.cpp}.cu ]] ||
      offence "$source: no src/ops/cuda/${stem%_test.cpp}.cu"
  done < <(files '^tests/cuda/[a-z0-9_]+_test\.cpp$')
}

check_sizes() {
  local file count
  while read -r count file; do
    [[ $file == total ]] && continue
    if ((count > 450)); then
      offence "$file: $count lines; at most 450"
    elif ((count > 300)); then
      printf 'warning: %s: %s lines; aim for 300\n' "$file" "$count"
    fi
  done < <(files '^(include|src|tests|tools|docs/examples)/.*\.(h|cpp|cu|cuh|py|sh|cmake)$' | xargs wc -l)
  while read -r count file; do
    [[ $file == total ]] || ((count < 60)) || offence "$file: $count lines; a recipe has fewer than 60"
  done < <(files '^recipes/.*\.yaml$' | xargs -r wc -l)
}

check_leftovers() {
  local text='\.(h|cpp|cu|cuh|py|sh|cmake|yaml|md|txt|json)$|^\.ci/run$'
  local note='TO''DO|FIX''ME|XX''X[: ]' path='(^|[^[:alnum:]_.])/(work|root|home|Users)/[A-Za-z0-9_]'
  local line
  while IFS= read -r line; do
    offence "$line (finish it or file it)"
  done < <(files "$text" | xargs grep -nHE -- "\b($note)" | cut -c1-160)
  while IFS= read -r line; do
    offence "$line (a path of one machine)"
  done < <(files "$text" | xargs grep -nHE -- "$path" | cut -c1-160)
}

check_recipe_lists() {
  local out
  out=$(tools/recipe_lists.py --check 2>&1) || offence "$out"
}

check_scripts() {
  local file out
  while IFS= read -r file; do
    out=$(bash -n "$file" 2>&1) || offence "$out"
    [[ $file == tools/setup.sh || -x $file ]] || offence "$file: not executable"
  done < <(files '\.sh$|^\.ci/run$')
  out=$(files '\.py$' | xargs -r python3 -c '
import sys
bad = 0
for path in sys.argv[1:]:
    try:
        compile(open(path, encoding="utf-8").read(), path, "exec")
    except SyntaxError as error:
        print(f"{path}:{error.lineno}: {error.msg}")
        bad = 1
sys.exit(bad)' 2>&1) || offence "$out"
}

check_bundled_data() {
  local sums out
  while IFS= read -r sums; do
    out=$(cd "$(dirname "$sums")" && sha256sum --check --quiet --strict SHA256SUMS 2>&1) ||
      offence "$(dirname "$sums"): $out"
  done < <(files '/SHA256SUMS$')
}

check_format
check_layers
check_mirror
check_sizes
check_leftovers
check_scripts
check_recipe_lists
check_bundled_data
if ((offences)); then
  printf 'check: %d offences\n' "$offences"
  exit 1
fi
printf 'check: ok\n'
