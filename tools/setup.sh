# What quickstart.sh and test.sh share, to be sourced: packages, libtorch, configuring, building.
# Every step looks first and does nothing where nothing is missing.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$root/build/release

# Everything gtrain needs from Debian 12 (or a distribution made from it).
packages=(
  g++ cmake ninja-build ccache mold pkg-config
  libtbb-dev libboost-graph-dev libboost-context-dev libhdf5-dev libyaml-cpp-dev libcli11-dev nlohmann-json3-dev
  libeigen3-dev libspectra-dev libxxhash-dev zlib1g-dev
  libgtest-dev libgmock-dev
  python3 python3-venv clang-format-14
)

# The CPU build: PyPI's plain x86 wheel is a CUDA build, which CMake refuses without the toolkit.
torch_requirement=${GTRAIN_TORCH:-torch==2.13.0+cpu}
torch_index=https://download.pytorch.org/whl/cpu

say() { printf '== %s\n' "$*" >&2; }
stop() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

install_packages() {
  if ! command -v dpkg-query >/dev/null; then
    say "no Debian here; expecting these, or what your system calls them: ${packages[*]}"
    return
  fi
  local missing=() name
  for name in "${packages[@]}"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null) == installed ]] ||
      missing+=("$name")
  done
  ((${#missing[@]})) || return 0
  local line="apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
  if ((EUID != 0)); then
    stop "packages are missing and only root can install them. Run this, then start again:
  sudo sh -c '$line'"
  fi
  say "installing ${missing[*]}"
  DEBIAN_FRONTEND=noninteractive sh -c "$line" >&2 ||
    stop "apt could not install them (see above; it needs the network). The line was:
  $line"
}

# The Torch_DIR of a libtorch that the caller named; nothing where none was.
given_torch() {
  local directory
  if [[ -n ${Torch_DIR:-} ]]; then
    [[ -f $Torch_DIR/TorchConfig.cmake ]] || stop "$Torch_DIR (Torch_DIR) has no TorchConfig.cmake"
    printf '%s' "$Torch_DIR"
    return
  fi
  while IFS= read -r -d : directory; do
    for directory in "$directory"/share/cmake/Torch "$directory"/Torch "$directory"; do
      if [[ -f $directory/TorchConfig.cmake ]]; then
        printf '%s' "$directory"
        return
      fi
    done
  done <<<"${CMAKE_PREFIX_PATH:-}:"
}

install_torch() {
  local venv=$root/.deps/venv
  local stamp=$venv/.gtrain-torch
  [[ -f $stamp && $(<"$stamp") == "$torch_requirement" ]] && return
  say "installing $torch_requirement into .deps/"
  [[ -x $venv/bin/pip ]] || python3 -m venv "$venv" >&2 ||
    stop "python3 could not make a virtual environment in $venv"
  "$venv/bin/pip" install --quiet "$torch_requirement" >&2 ||
    "$venv/bin/pip" install --quiet --index-url "$torch_index" "$torch_requirement" >&2 ||
    stop "pip could not install $torch_requirement (see above; it needs the network).
  Offline, name a libtorch 2.6 or later that is there: Torch_DIR=/path/to/share/cmake/Torch $0
  For another version or build: GTRAIN_TORCH='torch==…' $0"
  printf '%s' "$torch_requirement" >"$stamp"
}

configure() {
  local torch_directory=$1 stamp=$build/.gtrain-torch
  if [[ -f $build/build.ninja && -f $stamp && $(<"$stamp") == "$torch_directory" ]]; then
    return
  fi
  say "configuring build/release"
  local log=$root/build/configure.log arguments=(--preset release -S "$root")
  # -U: a libtorch that an earlier configuration remembers is not the one in .deps/.
  if [[ -n $torch_directory ]]; then
    arguments+=("-DTorch_DIR=$torch_directory")
  else
    arguments+=(-UTorch_DIR)
  fi
  mkdir -p "$build"
  (cd "$root" && cmake "${arguments[@]}") >"$log" 2>&1 || {
    cat "$log" >&2
    stop "CMake could not configure gtrain (see above)"
  }
  printf '%s' "$torch_directory" >"$stamp"
}

# set_up: everything up to a configured build directory.
set_up() {
  install_packages
  local torch_directory
  torch_directory=$(given_torch)
  [[ -n $torch_directory ]] || install_torch
  configure "$torch_directory"
}

# compile TARGETS…: at most one compiler per core and per 2 GiB of memory.
compile() {
  local cores memory jobs
  cores=$(nproc)
  memory=$(awk '/^MemAvailable/ {print int($2 / 2097152)}' /proc/meminfo 2>/dev/null || true)
  jobs=$((${memory:-1} > cores ? cores : ${memory:-1}))
  cmake --build "$build" --parallel "$((jobs > 0 ? jobs : 1))" --target "$@" >&2 ||
    stop "the build failed (see above)"
}
