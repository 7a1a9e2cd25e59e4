#!/usr/bin/env bash
# One command of spillway. A runner that cancels signals this shell alone, so signals are handed on, and the command is
# waited for: its last write is read back, its page is written, and the exit code is its own.
set -uo pipefail

words=("$COMMAND")
if [ -n "$IMAGE" ]; then words+=(--image "$IMAGE"); fi
if [ -n "$ENVIRONMENT" ]; then words+=(--env "$ENVIRONMENT"); fi
while IFS= read -r word; do
  if [ -n "$word" ]; then words+=("$word"); fi
done <<< "$ARGS"

child=""
trap 'if [ -n "$child" ]; then kill -INT "$child" 2>/dev/null; else exit 130; fi' INT
trap 'if [ -n "$child" ]; then kill -TERM "$child" 2>/dev/null; else exit 143; fi' TERM
spillway "${words[@]}" &
child=$!
while true; do
  wait "$child"
  code=$?
  # Above 128 it may be a signal to this shell that ended the wait, and not the command.
  if [ "$code" -le 128 ] || ! kill -0 "$child" 2>/dev/null; then break; fi
done
wait "$child"
code=$?
if [ "$code" = 13 ] && [ "$PAUSED" = success ]; then code=0; fi
if [ "$code" = 18 ] && [ "$NOT_YET" = success ]; then code=0; fi
exit "$code"
