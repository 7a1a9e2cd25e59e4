"""NiceGUI behind the telemetry: a page with a button, whose click runs and changes a label. BROKEN: the run fails."""

import os

import uvicorn
from fastapi import FastAPI
from nicegui import ui

from pipeline.telemetry import SpillwayTelemetry

app = FastAPI()


@ui.page("/")
def index() -> None:
    label = ui.label("ready")

    def run() -> None:
        label.set_text("running")
        if os.environ.get("BROKEN"):
            raise RuntimeError("no room left")
        label.set_text("done")

    ui.button("run", on_click=run)


ui.run_with(app, storage_secret=os.urandom(16).hex())
uvicorn.run(SpillwayTelemetry(app), port=int(os.environ["PORT"]), log_level="warning")
