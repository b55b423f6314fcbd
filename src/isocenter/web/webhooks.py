"""Webhooks: who is told of events, and what did not get through."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from isocenter.pipeline.listeners import LONGEST, PATTERN
from isocenter.ports.webhooks import Standing
from isocenter.records import EVENTS
from isocenter.web.access import Access, requires
from isocenter.web.auth import Scope
from isocenter.web.errors import problems
from isocenter.web.sending import json_response
from isocenter.web.services import Services

router = APIRouter(tags=["webhooks"])

Admin = Annotated[Access, requires(Scope.ADMIN, server_wide=True)]
WebhookId = Annotated[str, Path(pattern=r"^[a-z2-7]{26}$", description="A webhook's id.")]
EventType = Annotated[str, Field(pattern=f"^({'|'.join(EVENTS)})$".replace(".", r"\."))]


class NewWebhook(BaseModel):
    """Who is to be told of what."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(max_length=LONGEST, pattern=PATTERN, description="Where events are POSTed to.")
    events: list[EventType] = Field(min_length=1, max_length=len(EVENTS), description=f"Of {', '.join(EVENTS)}.")
    store: str | None = Field(None, pattern=r"^[a-z0-9-]{1,64}$", description="Events of this store only.")


class WebhookView(BaseModel):
    """A webhook and how far it is."""

    id: str
    url: str
    events: list[str]
    store: str | None
    created: str
    cursor: int = Field(description="Every event up to this one was delivered, not wanted, or did not get through.")
    waiting: int = Field(description="Events that did not get through and are tried again.")
    due: str | None = Field(description="When the first of them is.")
    dead: int = Field(description="Dead letters.")


class NewWebhookView(WebhookView):
    secret: str = Field(description="Signs what is sent. It is not shown again.")


class WebhookList(BaseModel):
    webhooks: list[WebhookView]


class LetterView(BaseModel):
    """An event that is not tried any more."""

    sequence: int
    code: str = Field(description="Why, the last time.")
    attempts: int
    at: str = Field(description="When it was tried last.")


class LetterPage(BaseModel):
    dead_letters: list[LetterView]
    next: int | None = Field(description="Give it as `after` for the rest; null at the end.")


class Redriven(BaseModel):
    redriven: int = Field(description="Dead letters that are tried again.")


@router.post("/webhooks", status_code=201, response_model=NewWebhookView, responses=problems(409))
def add(request: Request, access: Admin, new: NewWebhook) -> Response:
    """Have a listener told of events from now on."""
    services: Services = request.app.state.services
    made, secret = services.webhooks.add(new.url, new.events, new.store, access.caller)
    view = _view(services.webhooks.get(made.id)) | {"secret": secret}
    return json_response(view, 201, headers={"Location": f"/webhooks/{made.id}", "Cache-Control": "no-store"})


@router.get("/webhooks", response_model=WebhookList, responses=problems())
def webhooks(request: Request, access: Admin) -> Response:
    """All webhooks, oldest first."""
    services: Services = request.app.state.services
    return json_response({"webhooks": [_view(each) for each in services.webhooks.all()]})


@router.get("/webhooks/{id}", response_model=WebhookView, responses=problems())
def webhook(request: Request, access: Admin, id: WebhookId) -> Response:
    """One webhook."""
    services: Services = request.app.state.services
    return json_response(_view(services.webhooks.get(id)))


@router.delete(
    "/webhooks/{id}",
    status_code=204,
    response_class=Response,
    responses={204: {"description": "It is told nothing more"}, **problems()},
)
def remove(request: Request, access: Admin, id: WebhookId) -> Response:
    """Forget a webhook with its dead letters."""
    services: Services = request.app.state.services
    services.webhooks.remove(id, access.caller)
    return Response(status_code=204)


@router.get("/webhooks/{id}/dead-letters", response_model=LetterPage, responses=problems())
def dead_letters(
    request: Request,
    access: Admin,
    id: WebhookId,
    after: Annotated[int, Query(ge=0, le=2**62, description="The `next` of the page before.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """Events that did not get through, for good unless they are tried again."""
    services: Services = request.app.state.services
    found = services.webhooks.dead(id, after, limit + 1)
    told = [
        {"sequence": each.sequence, "code": each.code, "attempts": each.attempts, "at": each.at.isoformat()}
        for each in found[:limit]
    ]
    return json_response({"dead_letters": told, "next": found[limit - 1].sequence if len(found) > limit else None})


@router.post("/webhooks/{id}/redrive", response_model=Redriven, responses=problems())
def redrive(request: Request, access: Admin, id: WebhookId) -> Response:
    """Have every dead letter tried again, as if for the first time."""
    services: Services = request.app.state.services
    return json_response({"redriven": services.webhooks.redrive(id, access.caller)})


def _view(standing: Standing) -> dict[str, Any]:
    of = standing.subscription
    return {
        "id": of.id, "url": of.url, "events": sorted(of.events), "store": of.store, "created": of.created.isoformat(),
        "cursor": standing.cursor, "waiting": standing.waiting,
        "due": None if standing.due is None else standing.due.isoformat(), "dead": standing.dead,
    }  # fmt: skip
