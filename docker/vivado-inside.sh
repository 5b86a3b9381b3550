#!/usr/bin/env bash
# What docker/vivado-build.sh runs in the container: MODE VIVADO BOARD OPTION...
set -euo pipefail

mode=$1 vivado=$2 board=$3
shift 3
mkdir -p "$HOME"

python docker/vivado_preflight.py --board "$board" --vivado "$vivado" --out /out
[[ $mode == build ]] || exit 0

# Where Vivado looks for board files is told by a script that it runs at its start.
mkdir -p "$HOME/.Xilinx/Vivado"
echo "set_param board.repoPaths [list {*}[get_param board.repoPaths] {$FINN_DEPS/board_files}]" \
  > "$HOME/.Xilinx/Vivado/Vivado_init.tcl"

# Xilinx's settings read variables that are not set, and may put a Python of their own in front.
path=$PATH
set +u
# shellcheck disable=SC1091
source "$vivado/settings64.sh"
set -u
export PATH=$path:$PATH

edgebert build /export --board "$board" --until bitfile --toolchain vivado --out /out/build "$@"
edgebert package /export --build /out/build --out "/out/$board.zip"
