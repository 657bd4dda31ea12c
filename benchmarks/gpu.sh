#!/usr/bin/env bash
# Measures the library on one GPU, without network, within 480 seconds: benchmarks/gpu.sh OUT [--tiny]
# Packages that Python lacks and ML-1M come from benchmarks/gpu-kit, which `make gpu-kit` fills; torch is the machine's.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
kit=$root/benchmarks/gpu-kit
packages=$(mktemp -d)
trap 'rm -rf "$packages"' EXIT
for wheel in "$kit"/*.whl; do
    [ -e "$wheel" ] && "${PYTHON:-python3}" -m zipfile -e "$wheel" "$packages"
done
export PYTHONPATH=$root:$root/recipes:$root/benchmarks:$packages
"${PYTHON:-python3}" "$root/benchmarks/gpu.py" "$@"
