"""What a request may reach: every route declares its scope by one of these guards."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any

import anyio.to_thread
from fastapi import Depends, Request

from isocenter.archive.store import Caller
from isocenter.errors import Forbidden, NotFound, Unauthenticated, Unavailable
from isocenter.records import ImageRecord
from isocenter.web.auth import Policy, Principal, Scope
from isocenter.web.services import Services

# What the audit log calls it when a request that takes the scope is refused.
_DOING = {
    Scope.READ: "read",
    Scope.WRITE: "store",
    Scope.DELETE: "delete",
    Scope.IDENTIFIED: "read",
    Scope.PROCESS: "process",
    Scope.DELIVER: "deliver",
    Scope.ADMIN: "admin",
}


class Hidden(NotFound):
    """Told apart from NotFound by the audit log, never by the answer."""


@dataclass(frozen=True, slots=True)
class Access:
    """One authenticated request: who, and to which stores its scope reaches."""

    scope: Scope
    principal: Principal
    caller: Caller
    stores: tuple[str, ...]
    policy: Policy

    def store(self, name: str | None) -> str:
        """A store this request may use; NotFound where it may not see it, whether it exists or not."""
        chosen = name or self.policy.stores[0]
        if chosen not in self.stores:
            if self.policy.visible(self.principal, chosen):
                raise Forbidden("this takes a scope for the store that the caller does not have")
            raise Hidden("there is no such store")
        return chosen

    def refused(self, error: Exception) -> None:
        """Audit that this request gave nothing out: nothing is there, or nothing for this caller."""
        denied = isinstance(error, Forbidden | Hidden)
        self.policy.trail.refuse(self.caller.entry(_DOING[self.scope], "denied" if denied else "failed"))

    def failed(self, count: int, store: str | None) -> None:
        """Audit that so many things this request sent in were not taken."""
        if count:
            self.policy.trail.refuse(self.caller.entry(_DOING[self.scope], "failed", store=store, count=count))

    def note(self, action: str, *, record: ImageRecord | None = None, store: str | None = None, count: int = 1) -> None:
        """Audit a read or search of this request."""
        image = None if record is None else record.id
        where = store if record is None else record.store
        self.policy.trail.add(self.caller.entry(action, store=where, image=image, count=count))


async def _recognised(request: Request, services: Services, nobody: Caller) -> Principal:
    authenticator, trail = services.authenticator, services.policy.trail
    authorization = request.headers.get("authorization")
    try:
        if (found := authenticator.known(authorization)) is not None:
            return found
        return await anyio.to_thread.run_sync(authenticator.authenticate, authorization)
    except Unauthenticated:
        trail.refuse(nobody.entry("login", "denied"))
        raise
    except Unavailable:
        trail.refuse(nobody.entry("login", "failed"))
        raise


async def _access(request: Request, scope: Scope, server_wide: bool) -> Access:
    services: Services = request.app.state.services
    policy = services.policy
    address = (request.client.host or None) if request.client else None
    nobody = Caller("unknown", request.scope.get("isocenter.request_id"), address)
    principal = await _recognised(request, services, nobody)
    access = Access(scope, principal, replace(nobody, actor=principal.actor), policy.reached(principal, scope), policy)
    if server_wide and not principal.may(scope):
        error = Forbidden(f"this takes the scope {scope} for all stores")
    elif not principal.may_anywhere(scope):
        error = Forbidden(f"this takes the scope {scope}")
    elif not access.stores:
        error = Forbidden(f"no store is within reach; those that hold identity take {Scope.IDENTIFIED} besides {scope}")
    else:
        request.state.access = access
        return access
    access.refused(error)
    raise error


def requires(scope: Scope, *, server_wide: bool = False) -> Any:
    """The dependency that guards a route: `access: Annotated[Access, requires(Scope.READ)]`.

    A grant for one store is enough, for that store, unless the route is about the whole server.
    """

    async def guard(request: Request) -> Access:
        return await _access(request, scope, server_wide)

    guard.scope = scope  # type: ignore[attr-defined]  # read by the test that walks the routes
    return Depends(guard)


def open_to_all() -> Any:
    """Marks a route that needs no scope, for the test that walks the routes."""

    async def guard() -> None:
        return None

    guard.scope = None  # type: ignore[attr-defined]  # likewise
    return Depends(guard)


Reader = Annotated[Access, requires(Scope.READ)]
Writer = Annotated[Access, requires(Scope.WRITE)]
Deleter = Annotated[Access, requires(Scope.DELETE)]
