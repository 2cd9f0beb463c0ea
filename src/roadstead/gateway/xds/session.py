"""The conversation with one Envoy over delta ADS, as a state machine without I/O.

`receive` takes what Envoy sent, `update` takes what Envoy shall have; both return what to send. A change travels in
an order that loses no request ("make before break"): clusters and their endpoints first; listeners, routes and scopes
once Envoy has acknowledged those; clusters that nothing uses any more last. Endpoints and secrets never wait. Only
names under which something may have changed are looked at.
Rules: Envoy's xds_protocol.rst, "Incremental xDS" and "Eventual consistency considerations". Next: `server`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from roadstead.gateway.xds.resources import NOTHING, Ref, Resource, ResourceType, Snapshot
from roadstead.gateway.xds.tables import any_scope, is_of_many, table_of, table_of_piece

WILDCARD = "*"
_ABSENT = ""
"""Stands for a version where Envoy was told that there is no such resource."""
_REFUSED = "refused"
"""Stands for a version that Envoy has not taken, of a resource that is gone."""


@dataclass(frozen=True, slots=True)
class Request:
    """One DeltaDiscoveryRequest; `error` is set where Envoy rejects the response with this `nonce`."""

    type: ResourceType
    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    initial_versions: Mapping[str, str] = field(default_factory=dict)
    nonce: str = ""
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """One DeltaDiscoveryResponse."""

    type: ResourceType
    nonce: str
    resources: tuple[Resource, ...] = ()
    removed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rejection:
    """What Envoy said of a resource that it did not take; it keeps the version that it had."""

    ref: Ref
    version: str
    message: str


@dataclass(slots=True)
class _Subscription:
    """What Envoy asked for within one type, and the versions that it has or is about to have.

    `doubtful`: names whose version here may not be the wanted one. `alone`: to be sent in a response of its own.
    """

    wildcard: bool
    names: set[str]
    sent: dict[str, str]
    doubtful: set[str] = field(default_factory=set)
    alone: set[str] = field(default_factory=set)
    owes_answer: bool = False

    def wants(self, name: str) -> bool:
        return self.wildcard or name in self.names

    def forget(self, name: str) -> None:
        """Know no longer what Envoy has under this name."""
        self.sent.pop(name, None)
        self.doubtful.add(name)

    def examined(self) -> list[str]:
        """Return the doubtful names that Envoy wants, or has; from now on there is no doubt."""
        found = sorted(name for name in self.doubtful if self.wants(name) or name in self.sent)
        self.doubtful.clear()
        return found


class DeltaSession:
    """One ADS stream of one Envoy, from its first request until the stream ends."""

    def __init__(self) -> None:
        self._target: Snapshot | None = None
        self._next: Snapshot | None = None
        self._subscriptions: dict[ResourceType, _Subscription] = {}
        self._outstanding: dict[str, Response] = {}
        self._ahead: dict[ResourceType, set[str]] = {type_: set() for type_ in ResourceType}
        self._known: dict[ResourceType, set[str]] = {type_: set() for type_ in ResourceType}
        self._warming: set[Ref] = set()
        self._lingering: dict[str, set[str]] = {}
        self._rejected: dict[Ref, Rejection] = {}
        self._nonces = 0
        self._patience_ended = False

    @property
    def settled(self) -> bool:
        """Say whether Envoy has acknowledged or refused everything that it shall have, and asks for no more."""
        if self._target is None or self._next is not None or self._outstanding or self.waiting:
            return False
        if not self._subscriptions.keys() >= _OPENING:
            return False
        needs = (need for each in self._target.resources[ResourceType.LISTENER].values() for need in each.needs)
        if not all(self._is_answered(need) for need in needs if self._target.get(need) is not None):
            return False
        unanswered = self._target.resources[ResourceType.ROUTES].keys() - self._known[ResourceType.ROUTES]
        return not any(self._is_asked_for(name) for name in unanswered)

    @property
    def rejections(self) -> list[Rejection]:
        """What Envoy refuses at present, in the order in which it said so."""
        return list(self._rejected.values())

    def has_taken(self, ref: Ref, version: str) -> bool:
        """Say whether Envoy has acknowledged this version of a resource, and nothing newer is on its way."""
        subscription = self._subscriptions.get(ref.type)
        if subscription is None or subscription.sent.get(ref.name) != version or ref in self._rejected:
            return False
        on_the_way = (each for each in self._outstanding.values() if each.type is ref.type)
        return not any(ref.name == resource.name for each in on_the_way for resource in each.resources)

    def has_some(self, ref: Ref) -> bool:
        """Say whether Envoy has taken any version of a resource."""
        return ref.name in self._known[ref.type]

    @property
    def waiting(self) -> bool:
        """Say whether routes are held back until Envoy has the clusters that they name."""
        return self._target is not None and not self._clusters_ready()

    def update(self, snapshot: Snapshot) -> list[Response]:
        """Make this what Envoy shall have; return what to send now."""
        self._doubt(snapshot)
        if self._target is None:
            self._target = snapshot
        else:
            self._next = None if snapshot.version == self._target.version else snapshot
        gone = [ref for ref in self._rejected if snapshot.get(ref) is None]
        for ref in gone:
            del self._rejected[ref]
        responses = self._advance()
        for ref in gone:  # Should one come back as it was, Envoy is asked again.
            sent = self._subscriptions[ref.type].sent
            if sent.get(ref.name, _ABSENT) != _ABSENT:
                sent[ref.name] = _REFUSED
        return responses

    def _doubt(self, snapshot: Snapshot) -> None:
        """Note the names under which a snapshot may differ from what Envoy has."""
        newest = self._next or self._target or NOTHING
        if snapshot.version == newest.version:
            return
        for type_ in ResourceType:
            names = set(snapshot.changed.get(type_, ()))
            if snapshot.since != newest.version:
                names |= snapshot.resources[type_].keys() | newest.resources[type_].keys()
            self._ahead[type_] |= names
            if type_ in self._subscriptions:
                self._subscriptions[type_].doubtful |= names

    def receive(self, request: Request) -> list[Response]:
        """Take one request of Envoy: a subscription, an acknowledgement, a rejection, or several of these."""
        if request.nonce:
            self._settle(request)
        if request.type not in self._subscriptions:
            self._subscriptions[request.type] = subscription = _first_subscription(request)
            self._known[request.type] = set(request.initial_versions)
            subscription.doubtful = {*subscription.names, *subscription.sent}
            self._doubt_all(request.type)
        else:
            self._resubscribe(request)
        return self._advance()

    def proceed(self) -> list[Response]:
        """Wait no longer for clusters: Envoy has not taken them in time, and other routes must not suffer."""
        self._patience_ended = True
        self._warming.clear()
        responses = self._advance()
        self._patience_ended = False
        return responses

    # What Envoy said

    def _settle(self, request: Request) -> None:
        """Note what Envoy says of one of our responses; a nonce that we do not know is an old stream's."""
        response = self._outstanding.pop(request.nonce, None)
        if response is None:
            return
        refs = {Ref(response.type, each.name): each for each in response.resources}
        self._warming -= refs.keys()
        if request.error is None:
            self._known[response.type] |= {each.name for each in response.resources}
            self._known[response.type] -= set(response.removed)
            for ref in refs:
                self._rejected.pop(ref, None)
        else:
            self._reject(response, request.error)

    def _reject(self, response: Response, message: str) -> None:
        """Blame the one resource of a rejected response; of several, offer each alone to find the bad one."""
        if response.type is ResourceType.CLUSTER:
            self._warming -= {need for each in response.resources for need in each.needs}
        if len(response.resources) == 1:
            ref = Ref(response.type, response.resources[0].name)
            self._rejected[ref] = Rejection(ref, response.resources[0].version, message)
            return
        subscription = self._subscriptions[response.type]
        for each in response.resources:
            subscription.alone.add(each.name)
            subscription.forget(each.name)

    def _resubscribe(self, request: Request) -> None:
        """Change a subscription; a name that is asked for again is sent again."""
        subscription = self._subscriptions[request.type]
        for name in request.unsubscribe:
            self._unsubscribe(request.type, subscription, name)
        for name in request.subscribe:
            if name == WILDCARD:
                subscription.wildcard = True
                subscription.owes_answer = True
                self._doubt_all(request.type)
            else:
                subscription.names.add(name)
                subscription.forget(name)

    def _unsubscribe(self, type_: ResourceType, subscription: _Subscription, name: str) -> None:
        if name == WILDCARD:
            subscription.wildcard = False
            for dropped in subscription.sent.keys() - subscription.names:
                del subscription.sent[dropped]
                self._known[type_].discard(dropped)
            return
        subscription.names.discard(name)
        if not subscription.wildcard:
            subscription.sent.pop(name, None)
            self._known[type_].discard(name)
            self._warming.discard(Ref(type_, name))

    def _doubt_all(self, type_: ResourceType) -> None:
        subscription = self._subscriptions[type_]
        if subscription.wildcard and self._target is not None:
            subscription.doubtful |= self._target.resources[type_].keys() | subscription.sent.keys()

    # What to send

    def _advance(self) -> list[Response]:
        """Go as far as make-before-break allows, over as many snapshots as there are."""
        responses: list[Response] = []
        while self._target is not None:
            responses += self._send_clusters()
            responses += self._send_named(ResourceType.SECRET)
            responses += self._send_named(ResourceType.ENDPOINTS)
            if not self._clusters_ready():
                break
            responses += self._send_whole(ResourceType.LISTENER)
            responses += self._send_named(ResourceType.ROUTES)
            responses += self._send_whole(ResourceType.SCOPE)
            if self._next is None:
                responses += self._remove_clusters()
                break
            self._go_on()
        return responses

    def _go_on(self) -> None:
        """Turn to the next snapshot."""
        self._target, self._next = self._next, None
        for type_, names in self._ahead.items():
            if type_ in self._subscriptions:
                self._subscriptions[type_].doubtful |= names
            names.clear()

    def _clusters_ready(self) -> bool:
        if self._patience_ended:
            return True
        return not self._warming and not self._awaits(ResourceType.CLUSTER)

    def _awaits(self, *types: ResourceType) -> bool:
        return any(response.type in types for response in self._outstanding.values())

    def _send_clusters(self) -> Iterator[Response]:
        """Offer new and changed clusters; a changed one starts anew in Envoy and needs its endpoints once more."""
        changed, gone, _ = self._examined(ResourceType.CLUSTER)
        if ResourceType.CLUSTER in self._subscriptions:
            self._subscriptions[ResourceType.CLUSTER].doubtful |= set(gone)  # They go last: see `_remove_clusters`.
        for response in self._send(ResourceType.CLUSTER, changed):
            for need in (need for each in response.resources for need in each.needs):
                self._await_delivery(need)
            yield response

    def _await_delivery(self, need: Ref) -> None:
        if self._wanted(need) is None:
            return
        self._warming.add(need)
        if need.type in self._subscriptions:
            self._subscriptions[need.type].forget(need.name)

    def _send_named(self, type_: ResourceType) -> Iterator[Response]:
        """Offer what Envoy asked for by name and, where there is no such thing, say so once."""
        changed, _, missing = self._examined(type_)
        yield from self._send(type_, changed, missing)

    def _send_whole(self, type_: ResourceType) -> Iterator[Response]:
        """Offer what Envoy wants all of, and say what is no more."""
        changed, gone, missing = self._examined(type_)
        if type_ is ResourceType.SCOPE:
            gone = self._without_use(gone)
        yield from self._send(type_, changed, (*gone, *missing))

    def _without_use(self, gone: list[str]) -> list[str]:
        """Return which scopes may go: those of tables that go as a whole stay for connections that still live.

        Envoy keeps an older listener until the new one is ready, and its connections until they have drained; both look
        up routes. If such a table comes back, what it has no longer goes then.
        """
        scopes = self._target.resources[ResourceType.SCOPE] if self._target is not None else {}
        for name in gone:
            self._lingering.setdefault(table_of(name), set()).add(name)
        back = [table for table in self._lingering if any_scope(table) in scopes]
        sent = self._subscriptions[ResourceType.SCOPE].sent if back else {}
        found = [name for table in back for name in sorted(self._lingering.pop(table))]
        return [name for name in found if name in sent and name not in scopes]

    def _remove_clusters(self) -> Iterator[Response]:
        """Take away what nothing uses, once Envoy has acknowledged the routes that no longer name it.

        As long as it refuses routes or listeners it serves older ones, and their clusters stay.
        """
        serves_older = any(ref.type in _NAMES_CLUSTERS for ref in self._rejected)
        if not serves_older and not self._awaits(*_NAMES_CLUSTERS):
            yield from self._send(ResourceType.CLUSTER, [], self._examined(ResourceType.CLUSTER)[1])

    def _wanted(self, ref: Ref) -> Resource | None:
        """Return the newest content for a name; endpoints and secrets need not wait for their snapshot's turn."""
        newest = self._next.get(ref) if self._next is not None and ref.type in _NEVER_WAIT else None
        return newest or (self._target.get(ref) if self._target is not None else None)

    def _examined(self, type_: ResourceType) -> tuple[list[Resource], list[str], list[str]]:
        """Look at the names in doubt: what Envoy does not have yet, what it has and shall not, what there is not.

        What Envoy asked for by name and once had is not taken away: it will ask no longer.
        """
        subscription = self._subscriptions.get(type_)
        changed: list[Resource] = []
        gone: list[str] = []
        missing: list[str] = []
        if subscription is None:
            return changed, gone, missing
        for name in subscription.examined():
            wanted, sent = self._wanted(Ref(type_, name)), subscription.sent.get(name)
            if wanted is not None:
                if subscription.wants(name) and sent != wanted.version:
                    changed.append(wanted)
            elif sent is None:
                missing += [name] if name in subscription.names else []
            elif sent != _ABSENT and subscription.wildcard:
                gone.append(name)
        return changed, gone, missing

    def _send(self, type_: ResourceType, changed: list[Resource], removed: Iterable[str] = ()) -> Iterator[Response]:
        """Make the responses that carry these changes and remember what Envoy will have."""
        subscription = self._subscriptions.get(type_)
        gone = tuple(removed)
        if subscription is None or not (changed or gone or subscription.owes_answer):
            return
        subscription.owes_answer = False
        suspects = [each for each in changed if each.name in subscription.alone]
        others = tuple(each for each in changed if each.name not in subscription.alone)
        subscription.alone.difference_update(each.name for each in suspects)
        subscription.sent.update({each.name: each.version for each in changed})
        self._mark_gone(subscription, gone)
        if others or gone or not suspects:
            yield self._response(type_, others, gone)
        for suspect in suspects:
            yield self._response(type_, (suspect,), ())

    def _mark_gone(self, subscription: _Subscription, gone: tuple[str, ...]) -> None:
        for name in gone:
            if name in subscription.names:
                subscription.sent[name] = _ABSENT
            else:
                subscription.sent.pop(name, None)

    def _response(self, type_: ResourceType, resources: tuple[Resource, ...], removed: tuple[str, ...]) -> Response:
        self._nonces += 1
        response = Response(type_, str(self._nonces), resources, removed)
        self._outstanding[response.nonce] = response
        return response

    def _is_asked_for(self, piece: str) -> bool:
        """Say whether Envoy will ask for a piece of a route table that it has not answered to: one that is in use."""
        listeners = self._target.resources[ResourceType.LISTENER].values() if self._target is not None else ()
        routes = Ref(ResourceType.ROUTES, piece)
        need = Ref(ResourceType.SCOPE, any_scope(table_of_piece(piece))) if is_of_many(piece) else routes
        return routes not in self._rejected and any(need in each.needs for each in listeners)

    def _is_answered(self, need: Ref) -> bool:
        return need.name in self._known[need.type] or need in self._rejected


_OPENING = frozenset({ResourceType.CLUSTER, ResourceType.LISTENER})
_NAMES_CLUSTERS = frozenset({ResourceType.LISTENER, ResourceType.ROUTES})
_NEVER_WAIT = frozenset({ResourceType.ENDPOINTS, ResourceType.SECRET})


def _first_subscription(request: Request) -> _Subscription:
    """Read the first request of a type: without names it asks for everything (the protocol's legacy wildcard)."""
    names = set(request.subscribe)
    wildcard = not names or WILDCARD in names
    versions = dict(request.initial_versions)
    return _Subscription(wildcard, names - {WILDCARD}, versions, owes_answer=wildcard and not versions)
