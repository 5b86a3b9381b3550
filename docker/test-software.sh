#!/usr/bin/env bash
# From a trained model to an accelerator on the virtual board: runs inside the image `edgebert`.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

edgebert zoo get tiny-sst2 --out "$work/export"
edgebert verify "$work/export" --task reviews --samples 200
edgebert build "$work/export" --board pynq-z2 --max-tokens 64 --until rtl --out "$work/build"
edgebert simulate "$work/build" --task reviews --samples 20
edgebert verify "$work/export" --engine virtual-board --build "$work/build" \
  --task reviews --samples 20
edgebert package "$work/export" --build "$work/build" --out "$work/package.zip"
