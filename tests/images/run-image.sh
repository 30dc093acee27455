#!/usr/bin/env bash
# run-image.sh ROOT FOLDER COMMAND...: runs a command as a container runtime would, in a namespace of mounts of its own: the image's file system, read-only, with an
# empty /tmp and FOLDER at its place, as user 10001. What the environment names below FOLDER becomes that user's, as fsGroup does with volumes.
set -euo pipefail
[ -n "${IN_NAMESPACE:-}" ] || IN_NAMESPACE=1 exec unshare --mount --propagation private "$0" "$@"
unset IN_NAMESPACE
root=$1 folder=$2
shift 2
for path in "${JSIGR_ARTEFACTS:-}" "${JSIGR_DATA_DIRECTORY:-}" "${JSIGR_WORKER_TOKEN_FILE:-}" "${KUBECONFIG:-}"; do
  [ -e "$path" ] || continue
  chown -R 10001:10001 "$path"
  while [ "$path" != "$folder" ] && [ "$path" != / ]; do path=$(dirname "$path") && chmod go+x "$path"; done
done
mount --bind "$root" "$root"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mkdir -p "$root$folder"
mount --bind "$folder" "$root$folder"
mount --rbind /dev "$root/dev"
mount --bind /proc "$root/proc"
mount -o remount,ro,bind "$root"
exec chroot --userspec=10001:10001 "$root" "$@"
