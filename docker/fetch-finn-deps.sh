#!/usr/bin/env bash
# Fetch what FINN+ needs for a Zynq build: `docker/fetch-finn-deps.sh LIST FOLDER`.
#
# LIST is docker/finn-deps.txt, FOLDER becomes FINN_DEPS. Of a repository only the named commit is
# fetched, so that nothing else can come; the commit is written beside the files (.commit). PYNQ_Z2_SHA256
# in the environment, where it is set, is what the archive of that board's files must have.
set -euo pipefail

list=$1
target=$2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$target"

fetch_commit() { # name address commit
  git init --quiet "$scratch/$1"
  git -C "$scratch/$1" fetch --quiet --depth 1 "$2" "$3"
  git -C "$scratch/$1" -c advice.detachedHead=false checkout --quiet FETCH_HEAD
  rm -rf "$scratch/$1/.git"
}

fetch_archive() { # name address
  local sum
  curl --fail --silent --show-error --location --output "$scratch/$1.zip" "$2"
  sum=$(sha256sum "$scratch/$1.zip" | cut -d ' ' -f 1)
  echo "$1: SHA-256 $sum"
  if [[ -n ${PYNQ_Z2_SHA256:-} && $sum != "$PYNQ_Z2_SHA256" ]]; then
    echo "$1: expected SHA-256 $PYNQ_Z2_SHA256 of $2, got $sum" >&2
    return 1
  fi
  unzip -q "$scratch/$1.zip" -d "$scratch/$1"
}

while read -r name address commit folder place; do
  [[ -n $name && $name != \#* ]] || continue
  if [[ $commit == - ]]; then
    fetch_archive "$name" "$address"
  else
    fetch_commit "$name" "$address" "$commit"
  fi
  if [[ ! -d $scratch/$name/$folder ]]; then
    echo "$name: expected the folder $folder in $address, found none" >&2
    exit 1
  fi
  mkdir -p "$(dirname "$target/$place")"
  cp -r "$scratch/$name/$folder" "$target/$place"
  echo "$commit" > "$target/$place/.commit"
  echo "$name: $commit"
done < "$list"
