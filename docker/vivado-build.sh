#!/usr/bin/env bash
# From an export to a bitstream and its package, by Vivado in the image edgebert-vivado:
#
#   docker/vivado-build.sh EXPORT --board NAME --vivado DIR --out DIR [--check] [-- OPTION...]
#
# DIR of Vivado is such as /tools/Xilinx/Vivado/2022.2; /tools/Xilinx is mounted, read-only, as what
# lies beside Vivado belongs to it. --check ends after saying what is missing. OPTIONs go to `edgebert build`, such as
# --max-tokens 64. Writes OUT/build and OUT/NAME.zip. XILINXD_LICENSE_FILE and LM_LICENSE_FILE are
# passed on; the container has the network of this machine, which licences may be bound to.
set -euo pipefail

IMAGE=${IMAGE:-edgebert-vivado}

stop() { echo "docker/vivado-build.sh: $*" >&2; exit 2; }

# absolute KIND PATH
absolute() {
  [[ -d $2 ]] || stop "$1: expected a folder, got $2"
  (cd "$2" && pwd -P)
}

export_folder='' board='' vivado='' out='' mode=build
while (($#)); do
  case $1 in
    --board | --vivado | --out)
      (($# > 1)) || stop "$1: expected a value, got none"
      declare "${1#--}=$2"
      shift
      ;;
    --check) mode=check ;;
    --) shift; break ;;
    -*) stop "expected --board, --vivado, --out, --check or --, got $1" ;;
    *) [[ -z $export_folder ]] || stop "expected one EXPORT, got $export_folder and $1"
       export_folder=$1 ;;
  esac
  shift
done
for name in export_folder board vivado out; do
  [[ -n ${!name} ]] || stop "expected EXPORT, --board, --vivado and --out, got no $name"
done

if docker info > /dev/null 2>&1; then
  engine=docker
elif command -v podman > /dev/null; then
  engine=podman
else
  stop "expected a running Docker engine or podman, got neither"
fi
"$engine" image inspect "$IMAGE" > /dev/null 2>&1 ||
  stop "expected the image $IMAGE, found none: build it as docker/README.md says"

export_folder=$(absolute EXPORT "$export_folder")
vivado=$(absolute --vivado "$vivado")
mkdir -p "$out"
out=$(absolute --out "$out")
xilinx=$(dirname "$(dirname "$vivado")")

user=(--user "$(id -u):$(id -g)")
[[ $engine == docker ]] || ((EUID == 0)) || user=(--userns keep-id)
mounts=(--volume "$xilinx:$xilinx:ro" --volume "$export_folder:/export:ro" --volume "$out:/out")
for name in XILINXD_LICENSE_FILE LM_LICENSE_FILE; do
  [[ -n ${!name:-} ]] || continue
  mounts+=(--env "$name")
  [[ ! -e ${!name} ]] || mounts+=(--volume "${!name}:${!name}:ro")
done
exec "$engine" run --rm --init --network host "${user[@]}" --env HOME=/out/.home "${mounts[@]}" \
  "$IMAGE" bash docker/vivado-inside.sh "$mode" "$vivado" "$board" "$@"
