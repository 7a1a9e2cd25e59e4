"""The image of the watchdog: a Dockerfile whose container runs one command of Spillway.  PURE."""

from __future__ import annotations

FILE = "watchdog.Dockerfile"

TEXT = """\
# The watchdog: a Cloud Run job that takes a step (`spillway tick`) of whatever rollout is under way.
#
#   docker build -f watchdog.Dockerfile --build-arg SPILLWAY=ADDRESS --tag IMAGE .
#
# ADDRESS is what pip takes: git+https://HOST/REPOSITORY@COMMIT, or an archive or a wheel by https. Push the image, and
# name it by its digest under `watchdog:` in spillway.yaml; the next rollout declares the job and its schedule.
#
# Pulumi's CLI is not in it: it makes a candidate's revision, which `spillway rollout` has done before it lets go (with
# --no-wait too); every step after that is the Admin API's alone.
FROM python:3.12
ARG SPILLWAY
RUN pip install --no-cache-dir "$SPILLWAY" && useradd --create-home spillway
WORKDIR /home/spillway
COPY spillway.yaml ./
# And what spillway.yaml names: modules of a framing, files of messages, commands under `verify:`.
# COPY framings/ ./framings/
USER spillway
ENTRYPOINT ["spillway"]
"""
