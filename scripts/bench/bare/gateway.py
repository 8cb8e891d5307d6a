"""The gateway of the bare engine: `python -m scripts.bench.bare.gateway`, in the environment of `systems.Bare`."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from scripts.bench.bare.case import QUEUE, Bare
from scripts.bench.bare.connection import connect
from scripts.bench.bare.transactions import STARTED, SUBMIT, Transactions, opened


class Case(BaseModel):
    """The input of a case."""

    reference: str
    payee: str
    amount: str
    currency: str
    account: str


class Answer(BaseModel):
    """A decision."""

    verdict: str
    by: str
    comment: str


def gateway(sql: Transactions | None) -> FastAPI:
    """Return the app that takes cases and decisions."""

    @asynccontextmanager
    async def connected(app: FastAPI) -> AsyncIterator[None]:
        app.state.client = await connect()
        yield

    app = FastAPI(lifespan=connected)

    @app.get("/health")
    async def health() -> str:
        return "ok"

    @app.post("/cases", status_code=201)
    async def start(case: Case) -> dict[str, str]:
        if sql:
            sql.run(case.reference, SUBMIT)
        await app.state.client.start_workflow(Bare.run, id=case.reference, task_queue=QUEUE)
        if sql:
            sql.run(case.reference, STARTED)
        return {"case_id": case.reference}

    @app.post("/cases/{case_id}/decision")
    async def decide(case_id: str, answer: Answer) -> dict[str, str]:
        await app.state.client.get_workflow_handle(case_id).execute_update(Bare.decide)
        return {"verdict": answer.verdict}

    return app


if __name__ == "__main__":
    uvicorn.run(
        gateway(opened(Path(os.environ["BARE_FOLDER"]))),
        port=int(os.environ["BARE_PORT"]),
        log_level="error",
        access_log=False,
    )
