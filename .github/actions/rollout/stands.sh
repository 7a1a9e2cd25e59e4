#!/usr/bin/env bash
# The page of a run that was ended midway: what is true of the service now.
set -uo pipefail

words=(status)
if [ -n "$ENVIRONMENT" ]; then words+=(--env "$ENVIRONMENT"); fi
{
  echo "# Ended midway: where the rollout stands"
  echo
  echo "The service keeps its state; running the job again goes on from here."
  echo
  echo '```text'
  timeout 60 spillway "${words[@]}" 2>&1
  echo '```'
} >> "$GITHUB_STEP_SUMMARY"
