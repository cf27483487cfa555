#!/usr/bin/env bash
# Runs a sweep on a Cloud TPU slice, with one process per host. It needs gcloud with a
# project, and python3 with pip. Run it in a terminal that persists, such as tmux: the
# sweep ends with the connection. If the exit code is 75, the sweep was stopped and
# saved: run this file again.
set -euo pipefail

name=onset-__accelerator
accelerator=__accelerator # __topology, __hosts host(s)
runtime=__runtime
zone=__zone
package=__package # as installed where this file was printed
config=__config
config_there=__config_there

gcloud_tpus() { gcloud compute tpus "$@" --zone="$zone"; }
everywhere() { gcloud_tpus tpu-vm ssh "$name" --worker=all --command="$1"; }
copy() { gcloud_tpus tpu-vm scp "$1" "$name:onset/$2" --worker=all; }

# Create the slice, unless it still exists from an earlier run.
if ! gcloud_tpus queued-resources describe "$name" >/dev/null 2>&1; then
  gcloud_tpus queued-resources create "$name" --node-id="$name" \
    --accelerator-type="$accelerator" --runtime-version="$runtime"
fi
while true; do
  state=$(gcloud_tpus queued-resources describe "$name" --format='value(state.state)')
  case $state in
    ACTIVE) break ;;
    FAILED | SUSPENDING | SUSPENDED)
      echo "the slice is $state; delete it as shown at the end, then run this again" >&2
      exit 1
      ;;
  esac
  sleep 30
done

# Copy the package and its config, and install the versions that are used here.
wheels=$(mktemp -d)
trap 'rm -r "$wheels"' EXIT
python3 -m pip wheel --quiet --no-deps --wheel-dir="$wheels" "$package"
wheel=$(basename "$wheels"/*.whl)
everywhere __folders
copy "$wheels/$wheel" "$wheel"
copy "$config" "$config_there"
everywhere "cd onset && python3 -m pip install --quiet --user uv &&
  python3 -m uv venv --quiet --allow-existing --python=__python venv &&
  python3 -m uv pip install --quiet --python=venv --reinstall-package=router-sweeps \
    './$wheel' __versions"

everywhere __command

# Results in a relative --workdir=DIR stay on the host until you copy them:
#   gcloud compute tpus tpu-vm scp --recurse onset-__accelerator:onset/DIR . --zone=...
# The slice is billed until you delete it:
#   gcloud compute tpus queued-resources delete onset-__accelerator --force --zone=...
