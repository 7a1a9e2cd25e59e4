"""A GitHub workflow: each push to the main branch is built and rolled out; promote and roll back are done by hand."""

from __future__ import annotations

from string import Template

from pipeline.scaffold import action

FILE = ".github/workflows/spillway.yml"

_CHECKOUT = "actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2"
_PYTHON = "actions/setup-python@a26af69be951a213d495a4c3e4e4022e16d87065 # v5.6.0"
_AUTH = "google-github-actions/auth@ba79af03959ebeac9769e648f473a284504d9193 # v2.1.10"

#: ``@{...}`` is ours; ``${{ ... }}`` is GitHub's.
_TEXT = """\
# Written by `spillway init`. A push to main is built and rolled out in stages, and goes back by itself when it fails.
# By hand (Actions, "Run workflow"): promote what waits, or roll back.
#
# Variables of the repository (Settings, Actions):
#   IMAGE                       where images are pushed: the registry's name for the image, without a tag
#   GCP_PROVIDER                projects/N/locations/global/workloadIdentityPools/POOL/providers/PROVIDER
#   GCP_ACCOUNT                 who deploys; `spillway doctor --env production` says what it may not yet
#   PULUMI_BACKEND_URL          where Pulumi's state lies, such as gs://BUCKET; its secret: PULUMI_CONFIG_PASSPHRASE
#   SPILLWAY_PACKAGE            where pip gets Spillway from: a git address with a commit, or a wheel
# The action is this repository's own, beside this file: `spillway init` wrote it, too.
name: spillway

on:
  push:
    branches: [main]
  workflow_dispatch:
    inputs:
      command:
        description: What to do with the rollout that is under way
        type: choice
        options: [promote, rollback]
        default: promote
      reason:
        description: Why; kept in the record and the report
        type: string
        required: true

permissions:
  contents: read
  id-token: write

# One at a time, and none is cut off: a rollout that lost its job is gone on with by the next run of the same image. A
# roll-back waits for none.
concurrency:
  group: spillway-@{service}-${{ inputs.command == 'rollback' && github.run_id || github.event_name }}
  cancel-in-progress: false

env:
  IMAGE: ${{ vars.IMAGE }}
  PULUMI_BACKEND_URL: ${{ vars.PULUMI_BACKEND_URL }}
  PULUMI_CONFIG_PASSPHRASE: ${{ secrets.PULUMI_CONFIG_PASSPHRASE }}

jobs:
  rollout:
    if: github.event_name == 'push'
    runs-on: ubuntu-latest
    timeout-minutes: 350
    steps:
      - uses: @{checkout}
        with:
          fetch-depth: 0 # the checks compare with what was
      - uses: @{python}
        with:
          python-version: "3.12"
      - name: Install Spillway
        run: pip install "$PACKAGE"
        env:
          PACKAGE: ${{ vars.SPILLWAY_PACKAGE }}
      - name: Check the source
        run: spillway check --format github
      - uses: @{auth}
        with:
          workload_identity_provider: ${{ vars.GCP_PROVIDER }}
          service_account: ${{ vars.GCP_ACCOUNT }}
      - name: Build and push
        id: image
        run: |
          gcloud auth configure-docker "${IMAGE%%/*}" --quiet
          docker build --tag "$IMAGE:$GITHUB_SHA" .
          docker push "$IMAGE:$GITHUB_SHA"
          digest=$(docker inspect --format '{{index .RepoDigests 0}}' "$IMAGE:$GITHUB_SHA")
          echo "digest=$digest" >> "$GITHUB_OUTPUT"
      - name: Roll out
        id: spillway
        uses: ./@{action}
        with:
          image: ${{ steps.image.outputs.digest }}
          env: @{environment}
          paused: success # it waits for a person: this job is done
          install: "false"
      - name: Say what it waits for
        if: steps.spillway.outputs.outcome == 'paused'
        run: echo "$REVISION waits at $PERCENT %. Run this workflow by hand to let it go on, or to roll back." >> "$GITHUB_STEP_SUMMARY"
        env:
          REVISION: ${{ steps.spillway.outputs.revision }}
          PERCENT: ${{ steps.spillway.outputs.percent }}

  by-hand:
    if: github.event_name == 'workflow_dispatch'
    runs-on: ubuntu-latest
    timeout-minutes: 350
    steps:
      - uses: @{checkout}
      - uses: @{python}
        with:
          python-version: "3.12"
      - name: Install Spillway
        run: pip install "$PACKAGE"
        env:
          PACKAGE: ${{ vars.SPILLWAY_PACKAGE }}
      - uses: @{auth}
        with:
          workload_identity_provider: ${{ vars.GCP_PROVIDER }}
          service_account: ${{ vars.GCP_ACCOUNT }}
      - name: Promote or roll back
        uses: ./@{action}
        with:
          command: ${{ inputs.command }}
          env: @{environment}
          args: |
            --reason
            ${{ inputs.reason }}
          install: "false"
"""


class _Ours(Template):
    delimiter = "@"


def text(service: str, environment: str = "production") -> str:
    """Args: environment: of ``spillway.yaml``."""
    return _Ours(_TEXT).substitute(
        service=service,
        environment=environment,
        action=action.FOLDER,
        checkout=_CHECKOUT,
        python=_PYTHON,
        auth=_AUTH,
    )
