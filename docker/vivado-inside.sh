#!/usr/bin/env bash
# What docker/vivado-build.sh runs in the container: MODE VIVADO BOARD OPTION...
set -euo pipefail

mode=$1 vivado=$2 board=$3
shift 3
mkdir -p "$HOME"

python docker/vivado_preflight.py --board "$board" --vivado "$vivado" --out /out
[[ $mode == build ]] || exit 0

# Xilinx's settings read variables that are not set, and may put a Python of their own in front.
path=$PATH
set +u
for settings in "$vivado" "${vivado/Vivado/Vitis_HLS}" "${vivado/Vivado/Vitis}"; do
  # shellcheck disable=SC1091
  [[ ! -f $settings/settings64.sh ]] || source "$settings/settings64.sh"
done
set -u
export PATH=$path:$PATH

edgebert build /export --board "$board" --until bitfile --toolchain vivado --out /out/build "$@"
edgebert package /export --build /out/build --out "/out/$board.zip"
