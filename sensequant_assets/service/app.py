"""The HTTP service: which questions there are, and what answers them."""

from datetime import date
from time import perf_counter
from typing import Annotated, Any, Literal

import numpy as np
import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sensequant_assets import __version__
from sensequant_assets.errors import SenseQuantError, UsageError
from sensequant_assets.service.current import Current, Renewal
from sensequant_assets.service.given import of_given
from sensequant_assets.service.metrics import Metrics

MOST_ROWS = 10_000
"""Rows that one question may hold."""


class Asked(BaseModel):
    """A question about some symbols."""

    model_config = ConfigDict(extra="forbid")

    symbols: Annotated[list[str], Field(min_length=1, max_length=MOST_ROWS)] = Field(
        description="Whose prediction is wanted."
    )
    features: list[list[Annotated[float, Field(allow_inf_nan=False)] | None]] | None = Field(
        None,
        description="A row for each symbol, columns as `feature_names` of `/champion`; null is missing. Without it, "
        " the newest bars answer.",
    )


class Predicted(BaseModel):
    """What a student says of a row."""

    symbol: str
    time: str | None = Field(description="Start of the bar, exchange time; null for features that were given.")
    p: float = Field(description="Probability of label 1, calibrated, to act on.")
    p_raw: float = Field(description="The same as the trees say it, to rank symbols by.")
    distance: float | None = Field(description="To the training rows (dissimilarity index); null where not known.")
    flags: list[str] = Field(description="fresh, or what is to be known: fallback, stale, constant, out of range, ...")
    unproven: bool = Field(description="Whether nobody has promoted the student.")
    champion: int | None
    window: str = Field(description="First day of the window that the student learned in.")
    trees_fingerprint: str
    bars_fingerprint: str | None
    made_at: str


class Answer(BaseModel):
    """Predictions, and of whom there are none."""

    serving: str = Field(description="The students, in words.")
    champion: int | None
    unproven: bool
    batch_id: str
    day: date = Field(description="Latest day of the bars.")
    predictions: list[Predicted]
    missing: dict[str, str] = Field(description="Symbols without a prediction, and why.")


class Health(BaseModel):
    """Whether answers are current."""

    status: Literal["ok", "behind"] = Field(description="behind: bars or champion changed and could not be read.")
    problem: str | None
    serving: str
    unproven: bool
    day: date
    symbols: int
    missing: int
    read_at: str
    looked_at: str


class Served(BaseModel):
    """The students that serve."""

    serving: str
    champion: int | None
    unproven: bool
    batch_id: str
    day: date
    newest_window: str
    feature_names: list[str]
    symbols: list[str]
    missing: dict[str, str]
    record: dict[str, Any] | None = Field(description="Row of the champions' history, with the evidence.")
    standing: str | None = Field(description="What serves and what is known of it, in a sentence.")


def app_of(renewal: Renewal, hosts: list[str]) -> FastAPI:
    """The service.

    Parameters
    ----------
    renewal
        What it answers from.
    hosts
        Names under which it may be asked, `*` for any: a page of another site has a browser ask under its own.
    """
    # The pages that show a schema load scripts of a third party.
    app = FastAPI(
        title="SenseQuant predictions", version=__version__, docs_url=None, redoc_url=None,
        description="Predictions of the students that serve a universe, each with its flags.",
    )  # fmt: skip
    metrics = Metrics(renewal)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)
    app.add_middleware(_Timed, metrics=metrics)
    app.add_exception_handler(SenseQuantError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)

    @app.get("/predict", response_model=Answer, summary="Predictions of the newest bars of the universe")
    async def predict_universe() -> Response:
        return _json(renewal.current.universe)

    @app.post("/predict", response_model=Answer, summary="Predictions of some symbols, or of given features")
    def predict_some(asked: Asked) -> Response:
        current = renewal.current
        answer = _of_newest(current, asked.symbols) if asked.features is None else _of_given(current, asked)
        return _json(orjson.dumps(current.about | answer))

    @app.get("/health", response_model=Health, summary="Whether answers are current")
    async def health() -> Response:
        return _json(orjson.dumps(_health(renewal)))

    @app.get("/champion", response_model=Served, summary="The students that serve, and their evidence")
    async def champion() -> Response:
        return _json(orjson.dumps(_served(renewal.current)))

    @app.get("/metrics", response_class=Response, summary="Metrics in Prometheus' text format")
    async def tell_metrics() -> Response:
        text, kind = metrics.text()
        return Response(text, headers={"Content-Type": kind})

    return app


def _of_newest(current: Current, symbols: list[str]) -> dict[str, Any]:
    missing = {
        symbol: current.forecasts.missing.get(symbol, f"{symbol} is not in the universe.")
        for symbol in symbols
        if symbol not in current.rows
    }
    return {"predictions": [current.rows[one] for one in symbols if one in current.rows], "missing": missing}


def _of_given(current: Current, asked: Asked) -> dict[str, Any]:
    names, given = current.standing.pack.feature_names, asked.features or []
    if len(given) != len(asked.symbols) or {len(row) for row in given} != {len(names)}:
        raise UsageError(
            f"{len(asked.symbols)} symbols are asked for: give each one row of {len(names)} features, as "
            "`feature_names` of /champion."
        )
    predictions, missing = of_given(current.standing, asked.symbols, np.array(given, dtype=np.float64))
    return {"predictions": predictions, "missing": missing}


def _health(renewal: Renewal) -> dict[str, Any]:
    current, problem = renewal.current, renewal.problem
    return {
        "status": "behind" if problem else "ok",
        "problem": problem or None,
        "serving": current.standing.title,
        "unproven": current.standing.champion is None,
        "day": current.forecasts.day.isoformat(),
        "symbols": len(current.forecasts.rows),
        "missing": len(current.forecasts.missing),
        "read_at": current.read_at.isoformat(),
        "looked_at": renewal.looked_at.isoformat(),
    }


def _served(current: Current) -> dict[str, Any]:
    pack, champion = current.standing.pack, current.champion
    return current.about | {
        "newest_window": current.standing.newest,
        "feature_names": list(pack.feature_names),
        "symbols": [symbol for symbol in pack.symbols if symbol],
        "missing": dict(current.standing.missing),
        "record": None if champion is None else champion.model_dump(mode="json"),
        "standing": None if champion is None else champion.standing,
    }


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")


async def _refused(request: Request, error: Exception) -> Response:  # noqa: ARG001  # Starlette calls it so
    return _json(orjson.dumps({"detail": str(error)}), 422)


async def _invalid(request: Request, error: Exception) -> Response:  # noqa: ARG001  # as above
    assert isinstance(error, RequestValidationError)  # noqa: S101
    first = error.errors()[0]
    # What was given is not said again: it may be no JSON, and long.
    return _json(orjson.dumps({"detail": f"{'.'.join(map(str, first['loc']))}: {first['msg']}."}), 422)


class _Timed:
    """Tells metrics how long every answer takes."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, begun = 500, perf_counter()

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, sent)
        finally:
            self._metrics.answered(scope["method"], scope["path"], status, perf_counter() - begun)
