#!/usr/bin/env bash
# The page of a command that left none of its own: what is true of the service now.
set -uo pipefail

words=(status)
if [ -n "$ENVIRONMENT" ]; then words+=(--env "$ENVIRONMENT"); fi
{
  echo "# Where the rollout stands"
  echo
  echo "The command was ended midway, or never began. The service keeps its state; a job that is run again goes on from it."
  echo
  echo '```text'
  timeout 60 spillway "${words[@]}" 2>&1
  echo '```'
} >> "$GITHUB_STEP_SUMMARY"
