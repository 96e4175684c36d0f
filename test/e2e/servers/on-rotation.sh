# Runs a command after each rotation: sh on-rotation.sh COMMAND [ARGUMENT...].
inotifywait --quiet --monitor --event moved_to --format %f /var/run/secrets/spiffe.io |
while read -r name; do
  if [ "$name" = ..data ]; then "$@" && echo "reloaded"; fi
done
