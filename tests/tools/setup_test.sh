#!/usr/bin/env bash
# Tests of tools/setup.sh with stand-ins for dpkg-query, apt-get, cmake and pip: nothing is
# installed and nothing outside a scratch folder is written.
set -uo pipefail
source_tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch/bin" "$scratch/tree/tools"
cp "$source_tree/tools/setup.sh" "$scratch/tree/tools/"
failures=0

# stand_in NAME BODY: a program that logs its call and runs BODY.
stand_in() {
  printf '#!/bin/bash\necho "%s $*" >>"%s/calls"\n%s\n' "$1" "$scratch" "$2" >"$scratch/bin/$1"
  chmod +x "$scratch/bin/$1"
}

# run CODE: in a fresh shell with the stand-ins first on the path; output in $out, calls in $calls.
run() {
  : >"$scratch/calls"
  out=$(env -u Torch_DIR -u CMAKE_PREFIX_PATH -u GTRAIN_TORCH PATH="$scratch/bin:$PATH" \
    bash -c "set -euo pipefail; source '$scratch/tree/tools/setup.sh'; $1" 2>&1)
  code=$?
  calls=$(<"$scratch/calls")
}

expect() {
  local name=$1 actual=$2 pattern=$3
  if ! grep -qE -- "$pattern" <<<"$actual"; then
    printf 'FAIL %s: expected /%s/ in:\n%s\n' "$name" "$pattern" "$actual"
    failures=$((failures + 1))
  fi
}

refuse() {
  local name=$1 actual=$2 pattern=$3
  if grep -qE -- "$pattern" <<<"$actual"; then
    printf 'FAIL %s: unexpected /%s/ in:\n%s\n' "$name" "$pattern" "$actual"
    failures=$((failures + 1))
  fi
}

has_torch='mkdir -p "$root/.deps/venv/bin"; ln -sf "'$scratch'/bin/pip" "$root/.deps/venv/bin/pip"'

stand_in dpkg-query 'echo installed'
stand_in apt-get ''
run install_packages
expect 'nothing missing: succeeds' "$code" '^0$'
refuse 'nothing missing: apt is not asked' "$calls" 'apt-get'

stand_in dpkg-query '[[ $4 != mold ]] && echo installed; exit 0'
run install_packages
if ((EUID == 0)); then
  expect 'root: updates first' "$calls" 'apt-get update'
  expect 'root: installs only what is missing' "$calls" 'install -y --no-install-recommends mold$'
  stand_in apt-get 'exit 100'
  run install_packages
  expect 'offline: fails' "$code" '^1$'
  expect 'offline: says so' "$out" 'needs the network'
else
  expect 'no root: fails' "$code" '^1$'
  expect 'no root: names the one line' "$out" 'sudo sh -c .apt-get update && apt-get install.* mold'
  refuse 'no root: installs nothing' "$calls" 'apt-get'
fi

stand_in pip ''
run "$has_torch; install_torch; install_torch"
expect 'torch: installed once' "$(grep -c '^pip install' <<<"$calls")" '^1$'
expect 'torch: the CPU build' "$calls" 'torch==[0-9.]+\+cpu'

stand_in pip '[[ $* == *--index-url* ]]'
run "rm -rf \"\$root/.deps\"; $has_torch; install_torch"
expect 'torch: second index' "$code" '^0$'

stand_in pip 'exit 1'
run "rm -rf \"\$root/.deps\"; $has_torch; install_torch"
expect 'torch offline: fails' "$code" '^1$'
expect 'torch offline: names the way out' "$out" 'Torch_DIR='

mkdir -p "$scratch/libtorch/share/cmake/Torch"
touch "$scratch/libtorch/share/cmake/Torch/TorchConfig.cmake"
run "CMAKE_PREFIX_PATH=/nowhere:$scratch/libtorch given_torch"
expect 'given torch: found through the prefix path' "$out" "^$scratch/libtorch/share/cmake/Torch\$"
run 'Torch_DIR=/nowhere; given_torch'
expect 'given torch: a wrong Torch_DIR is refused' "$out" 'has no TorchConfig.cmake'
run given_torch
expect 'given torch: none is none' "[$out]" '^\[\]$'

stand_in cmake 'mkdir -p "'"$scratch"'/tree/build/release"; touch "'"$scratch"'/tree/build/release/build.ninja"'
run 'configure ""; configure ""; configure /other'
expect 'configure: only when the libtorch changed' "$(grep -c '^cmake' <<<"$calls")" '^2$'
expect 'configure: passes the libtorch on' "$calls" '-DTorch_DIR=/other'

stand_in cmake 'echo "no such compiler"; exit 1'
run 'rm -rf "$build"; configure ""'
expect 'configure: shows what CMake said' "$out" 'no such compiler'
expect 'configure: fails' "$code" '^1$'

if ((failures)); then
  printf '%d failures\n' "$failures"
  exit 1
fi
printf 'setup: ok\n'
