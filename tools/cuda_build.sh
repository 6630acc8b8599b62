#!/usr/bin/env bash
# Builds gtrain with its CUDA kernels from pip alone, without a GPU and without a CUDA installation,
# and runs the CPU suite with that build: what it compiles for sm_80, sm_90 and PTX links and starts.
#
#   tools/cuda_build.sh            all of it; what is there is not made again
#   tools/cuda_build.sh --toolkit  only .deps/: the wheels and the toolkit folder made of them
#   tools/cuda_build.sh --build    without the tests
#
# .deps/venv-cuda      a CUDA libtorch, nvcc and the CUDA libraries, 6 GB
# .deps/cuda-toolkit   the wheels' common folder as CMake expects a toolkit: lib64, unversioned .so
# .deps/cuda-python    the wheels' site-packages, under a name without Python's version
# build/cuda           the build (preset `cuda`); GTRAIN_JOBS compilers at a time, default all cores
set -euo pipefail

# shellcheck source=tools/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

cuda_wheels=(
  torch==2.14.1  # CUDA 13.0
  nvidia-cuda-nvcc==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-nvvm==13.0.88
  nvidia-cuda-cccl==13.0.85 nvidia-cuda-profiler-api==13.0.85
  nvidia-cuda-cuobjdump==13.2.86 nvidia-cuda-nvdisasm==13.2.86  # there are none of 13.0
)

install_wheels() {
  local venv=$root/.deps/venv-cuda
  local stamp=$venv/.gtrain-wheels
  [[ -f $stamp && $(<"$stamp") == "${cuda_wheels[*]}" ]] && return
  say "installing ${cuda_wheels[*]} into .deps/venv-cuda"
  [[ -x $venv/bin/pip ]] || python3 -m venv "$venv" >&2 ||
    stop "python3 could not make a virtual environment in $venv"
  "$venv/bin/pip" install --quiet "${cuda_wheels[@]}" >&2 ||
    stop "pip could not install the wheels (see above; it needs the network)"
  printf '%s' "${cuda_wheels[*]}" >"$stamp"
}

# The wheels bring libx.so.13 alone, in lib; the linker wants libx.so, CMake lib64.
make_toolkit() {
  local packages library name
  packages=$(echo "$root"/.deps/venv-cuda/lib/python3*/site-packages)
  [[ -x $packages/nvidia/cu13/bin/nvcc ]] || stop "no nvcc in $packages/nvidia/cu13/bin"
  ln -sfn "$packages" "$root/.deps/cuda-python"
  ln -sfn "$packages/nvidia/cu13" "$root/.deps/cuda-toolkit"
  [[ -e $packages/nvidia/cu13/lib64 ]] || ln -s lib "$packages/nvidia/cu13/lib64"
  for library in "$packages"/nvidia/cu13/lib/lib*.so.*; do
    name=${library##*/}
    [[ -e ${library%/*}/${name%%.so.*}.so ]] || ln -s "$name" "${library%/*}/${name%%.so.*}.so"
  done
}

configure_cuda() {
  [[ -f $root/build/cuda/build.ninja ]] && return
  say "configuring build/cuda"
  local log=$root/build/configure-cuda.log
  mkdir -p "$root/build"
  (cd "$root" && cmake --preset cuda) >"$log" 2>&1 || {
    cat "$log" >&2
    rm -f "$root/build/cuda/build.ninja"
    stop "CMake could not configure the CUDA build (see above)"
  }
}

main() {
  local step=${1:-}
  case $step in
    '' | --toolkit | --build) ;;
    *) stop "usage: $0 [--toolkit | --build]" ;;
  esac
  install_packages
  install_wheels
  make_toolkit
  [[ $step == --toolkit ]] && return
  configure_cuda
  say "building (the kernels for sm_80, sm_90 and PTX)"
  cmake --build "$root/build/cuda" --parallel "${GTRAIN_JOBS:-$(nproc)}" >&2 ||
    stop "the CUDA build failed (see above)"
  "$root/build/cuda/bin/gtrain" --version
  [[ $step == --build ]] && return
  ctest --test-dir "$root/build/cuda" -L unit --output-on-failure
}

main "$@"
