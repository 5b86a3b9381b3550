#!/usr/bin/env bash
# Build the images and run them: `docker/test.sh [software] [open]`, both by default.
#
# Takes the Docker engine where there is one, else buildah and podman (on Debian: apt install podman
# buildah runc). Ends with a line "PASS image: ..." for each, or with FAIL and status 1.
#
# Everything below is optional, and none of it is kept in an image:
#   BASE, SID      base images; where podman can't pull them and debootstrap is there, as root, a
#                  Debian is made with it from MIRROR
#   MIRROR         a Debian archive for the builds
#   TORCH_INDEX    index of torch's CPU build; empty: pip's own index decides
#   http_proxy, https_proxy, no_proxy
# pip's configuration on this machine is handed to the builds as a secret; folders of wheels in it are
# mounted (podman only). Where images are kept is podman's matter (CONTAINERS_STORAGE_CONF).
set -euo pipefail
cd "$(dirname "$0")/.."

BASE=${BASE:-debian:bookworm-slim}
SID=${SID:-debian:sid-slim}
MIRROR=${MIRROR:-http://deb.debian.org/debian}
SCRATCH=$(mktemp -d)
STEP=start
IMAGE=${1:-software}

finish() {
  local status=$?
  rm -rf "$SCRATCH"
  ((status == 0)) || echo "FAIL $IMAGE: $STEP (status $status)"
}
trap finish EXIT

say() { printf '%s %s\n' "$(date +%T)" "$*"; }
stop() { echo "docker/test.sh: $*" >&2; exit 1; }

# The engine: docker, or buildah to build and podman to run.
choose_engine() {
  STEP="choosing an engine"
  if docker info > /dev/null 2>&1; then
    ENGINE=docker
  elif command -v buildah > /dev/null && command -v podman > /dev/null; then
    ENGINE=podman
  else
    stop "expected a running Docker engine, or buildah and podman, got neither: on Debian" \
      "apt install podman buildah runc"
  fi
  say "engine: $ENGINE $("$ENGINE" --version | head -n 1)"
}

# What a build gets from this machine: pip's configuration, folders of wheels, proxies.
host_options() {
  local folder name
  HOST=(--network host)
  python3 docker/pip_config.py "$SCRATCH" > "$SCRATCH/folders"
  HOST+=(--secret "id=pip,src=$SCRATCH/pip.conf" --secret "id=ca,src=$SCRATCH/ca")
  for name in http_proxy https_proxy no_proxy; do
    [[ -z ${!name:-} ]] || HOST+=(--build-arg "$name")
  done
  [[ -z ${TORCH_INDEX+set} ]] || HOST+=(--build-arg "TORCH_INDEX=$TORCH_INDEX")
  [[ $ENGINE == podman ]] || return 0
  while read -r folder; do
    HOST+=(--volume "$folder:$folder:ro")
  done < "$SCRATCH/folders"
}

# base_image REFERENCE SUITE: sets REPLY to an image of that Debian, made here where it can't be had.
base_image() {
  REPLY=$1
  STEP="base image $1"
  [[ $ENGINE == podman ]] || return 0
  if podman image exists "$1" || podman pull --quiet "$1" > /dev/null 2>&1; then
    return 0
  fi
  REPLY=localhost/edgebert-test-$2
  podman image exists "$REPLY" && return 0
  if ! command -v debootstrap > /dev/null || ((EUID != 0)); then
    stop "$1: can't be pulled, and debootstrap is missing or this is not root"
  fi
  say "$1 can't be pulled: debootstrap $2"
  debootstrap --variant=minbase "$2" "$SCRATCH/$2" "$MIRROR" > "$SCRATCH/$2.log" 2>&1 ||
    { tail -n 5 "$SCRATCH/$2.log" >&2; return 1; }
  rm -rf "$SCRATCH/$2"/var/cache/apt/archives/*.deb "$SCRATCH/$2"/var/lib/apt/lists/*
  tar -C "$SCRATCH/$2" -c . | podman import --quiet - "$REPLY" > /dev/null
  rm -rf "${SCRATCH:?}/$2"
}

# build IMAGE DOCKERFILE CONTEXT OPTION...
build() {
  local image=$1 file=$2 context=$3 ignore=()
  shift 3
  STEP="building $image"
  say "$STEP"
  if [[ $ENGINE == docker ]]; then
    DOCKER_BUILDKIT=1 docker build "${HOST[@]}" "$@" -t "$image" -f "$file" "$context"
    return
  fi
  [[ ! -e $file.dockerignore ]] || ignore=(--ignorefile "$file.dockerignore")
  buildah bud --format docker --isolation chroot --layers "${HOST[@]}" "${ignore[@]}" "$@" \
    -t "$image" -f "$file" "$context"
}

# Options that a container needs to start here: none on most machines.
run_options() {
  STEP="starting a container"
  RUN=(--rm)
  [[ $ENGINE == podman ]] || return 0
  podman run "${RUN[@]}" "$1" true > /dev/null 2>&1 && return 0
  RUN+=(--network host --ulimit nofile=1024:1024 --ulimit nproc=1024:1024)
  podman run "${RUN[@]}" "$1" true > /dev/null 2>&1 && return 0
  PODMAN=(--runtime runc)
  podman "${PODMAN[@]}" run "${RUN[@]}" "$1" true
}

# run IMAGE COMMAND...
run() {
  if [[ $ENGINE == docker ]]; then
    docker run "${RUN[@]}" "$@"
  else
    podman "${PODMAN[@]}" run "${RUN[@]}" "$@"
  fi
}

# check IMAGE COMMAND BUILT: run PROGRAM SCRIPT in an image, and print the line that says it passed.
check() {
  local start=$SECONDS size
  run_options "$1"
  STEP="running $2"
  say "$STEP in $1: $(run "$1" id)"
  run "$1" "${2%% *}" "${2##* }"
  run --user 4321:4321 "$1" edgebert zoo list > /dev/null # as any user
  size=$("$ENGINE" image inspect --format '{{.Size}}' "$1")
  echo "PASS $IMAGE: $((size / 1000000)) MB, built in $3 s, $2 took $((SECONDS - start)) s"
}

software() {
  local start=$SECONDS
  base_image "$BASE" bookworm
  build edgebert docker/software.Dockerfile . --build-arg "BASE=$REPLY"
  check edgebert 'bash docker/test-software.sh' $((SECONDS - start))
}

open() {
  local start=$SECONDS
  base_image "$SID" sid
  build edgebert-open docker/open.Dockerfile docker \
    --build-arg BASE=edgebert --build-arg "SID=$REPLY" --build-arg "MIRROR=$MIRROR"
  check edgebert-open 'python docker/test_open.py' $((SECONDS - start))
}

PODMAN=()
[[ $# -gt 0 ]] || set -- software open
for IMAGE in "$@"; do
  [[ $IMAGE == software || $IMAGE == open ]] ||
    stop "expected images software and open, got $IMAGE"
done
IMAGE=$1
choose_engine
host_options
for IMAGE in "$@"; do
  "$IMAGE"
done
