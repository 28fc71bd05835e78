"""Which arrays may share memory, so that a write that Python would show under another name is refused.

The typed IR has values only: `a[i] = v` makes a new array.  That is Python's meaning as long as nobody looks at the
old one. Each array node therefore *holds* storages, each at the version of its last write that the node has seen.  A
write to a storage makes a new version; a read through a node with an older one is refused.  Arguments, captured
arrays and views may not be written to at all: somebody else would see it.

Values of a Sum type hold storages field by field: an alias is kept for each path into a node, `()` for an array itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

from ..ir import Array, MyiaTypeError, Node, Residual, Span, Sum

STALE = -1


class AliasError(MyiaTypeError):
    """A read or a write that Python's sharing of memory would make visible elsewhere."""


class Storage:
    """The memory of one array.  `owner` says who else sees it ("an argument"); None: made in this function."""

    __slots__ = ("owner", "serial")
    _serials = count()

    def __init__(self, owner: str | None = None):
        self.owner, self.serial = owner, next(Storage._serials)


@dataclass(frozen=True)
class Alias:
    """The storages that a node may share, with versions; a view is part of an array that has a name of its own."""

    holds: frozenset[tuple[Storage, int]]
    view: bool = False

    def storages(self) -> set[Storage]:
        return {s for s, _ in self.holds}

    def __or__(self, other: Alias) -> Alias:
        return Alias(self.holds | other.holds, self.view or other.view)


@dataclass(frozen=True)
class Sealed:
    """An alias at the end of a graph: for each storage, whether the node saw its last write."""

    current: frozenset[tuple[Storage, bool]]
    view: bool = False


def merged(sealed: list[Sealed]) -> Sealed:
    """What a value holds that comes from either of several ends."""
    current: dict[Storage, bool] = {}
    for s in sealed:
        for storage, fresh in s.current:
            current[storage] = current.get(storage, True) and fresh
    return Sealed(frozenset(current.items()), any(s.view for s in sealed))


class Aliases:
    """The aliases of all nodes, and the version of each storage at the point that is being walked."""

    def __init__(self):
        self.table: dict[Node, dict[tuple, Alias]] = {}
        self.versions: dict[Storage, tuple[int, Span | None]] = {}
        self._numbers = count(1)

    # ---- nodes -------------------------------------------------------------------------------------------------------
    def of(self, node: Node) -> dict[tuple, Alias]:
        """What a node holds, by path; a node that nobody has spoken of is a new array."""
        if node not in self.table:
            self.table[node] = {(): self.new()} if isinstance(node.type, Array) else {}
        return self.table[node]

    def new(self, owner: str | None = None) -> Alias:
        return Alias(frozenset({(Storage(owner), 0)}))

    def own(self, node: Node, owner: str) -> None:
        """Declare that somebody else sees the arrays in `node`."""
        if isinstance(node.type, Array):
            self.table[node] = {(): self.new(owner)}
        elif isinstance(node.type, Sum):
            self.table[node] = {path: self.new(owner) for path in paths(node.type)}

    def stale(self, alias: Alias) -> Span | bool:
        """Where an array was written to behind this name's back, or False."""
        for storage, version in alias.holds:
            current, span = self.versions.get(storage, (0, None))
            if version != current:
                return span or True
        return False

    def returned(self, nodes: list[Node], span: Span | None) -> None:
        """Refuse to return an array that has been written to under another name, at the write."""
        for node in nodes:
            for alias in self.of(node).values():
                where = self.stale(alias)
                if where:
                    raise AliasError(
                        "this writes into an array that the function also returns under another name",
                        where if isinstance(where, Span) else span,
                        "take a copy before the write: b = a.copy()",
                    )

    def check(self, node: Node, span: Span | None) -> None:
        """Refuse to read an array through a stale name."""
        if node not in self.table or not isinstance(node.type, Array):
            return
        where = self.stale(self.of(node)[()])
        if where:
            line = f" (line {where.line})" if isinstance(where, Span) else ""
            raise AliasError(
                f"this array shares memory with one written to since{line}: Python would see the write",
                span,
                "take a copy before the write: b = a.copy()",
            )

    def writable(self, node: Node, span: Span | None) -> None:
        """Refuse a write that somebody else would see."""
        self.check(node, span)
        alias = self.of(node)[()]
        owner = next((s.owner for s in alias.storages() if s.owner), None)
        if owner or alias.view:
            what = owner or "a view of another array"
            raise AliasError(
                f"this writes into {what}: the write would be seen outside", span, "start from a copy: a = a.copy()"
            )

    def write(self, old: Node, new: Node, span: Span | None) -> None:
        """`new` is `old` after a write into it."""
        alias = self.of(old)[()]
        for storage in alias.storages():
            self.bump(storage, span)
        self.table[new] = {(): self.now(alias)}

    def bump(self, storage: Storage, span: Span | None) -> None:
        self.versions[storage] = next(self._numbers), span

    def now(self, alias: Alias) -> Alias:
        return Alias(frozenset((s, self.version(s)) for s in alias.storages()), alias.view)

    def version(self, storage: Storage) -> int:
        return self.versions.get(storage, (0, None))[0]

    # ---- ends of graphs ----------------------------------------------------------------------------------------------
    def seal(self, node: Node) -> dict[tuple, Sealed]:
        return {
            path: Sealed(frozenset((s, v == self.version(s)) for s, v in alias.holds), alias.view)
            for path, alias in self.of(node).items()
        }

    def unseal(self, sealed: Sealed, known: dict[Storage, Alias | None] | None = None) -> Alias:
        """The alias at this point of what was sealed; `known` translates storages, and collects those made anew."""
        holds, view = set(), sealed.view
        for storage, fresh in sealed.current:
            alias = None if known is None else known.get(storage)
            if alias is not None:
                view = view or alias.view
                holds |= {(s, v if fresh else STALE) for s, v in alias.holds}
            else:
                holds.add((storage, self.version(storage) if fresh else STALE))
        return Alias(frozenset(holds), view)

    def join(self, ends: list[dict]) -> None:
        """Go on after branches that ended with these versions: a write in any of them is a write."""
        first, *rest = ends
        versions = dict(first)
        for other in rest:
            for storage, (number, span) in other.items():
                mine = versions.get(storage, (0, None))
                if mine[0] != number:
                    versions[storage] = next(self._numbers), span or mine[1]
            for storage, (_, span) in list(versions.items()):
                if storage not in other:
                    versions[storage] = next(self._numbers), span
        self.versions = versions


def paths(t) -> list[tuple]:
    """The paths to the arrays in a value of a type."""
    if isinstance(t, Array):
        return [()]
    if isinstance(t, Sum) and not isinstance(t, Residual):  # what a record holds, no name can show
        return [
            (tag, k, *path) for tag, fields in t.variants.items() for k, f in enumerate(fields) for path in paths(f)
        ]
    return []


class LoopAliases:
    """What the parameters of a loop hold, trip after trip: facts that only grow, until a walk of the body adds none.

    Parameters that may share memory form a class, with one storage that stands for whatever comes round; `sources`
    are the storages from outside that may be in it.
    """

    def __init__(self, aliases: Aliases):
        self.aliases = aliases
        self.root: dict[tuple, tuple] = {}  # (parameter number, *path) -> representative of its class
        self.sources: dict[tuple, set[Storage]] = {}
        self.views: set[tuple] = set()
        self.stale: set[tuple] = set()
        self.written: set[Storage] = set()  # storages from outside that the body writes to
        self.dirty: dict[tuple, Span | None] = {}  # classes that the body writes to
        self.storage: dict[tuple, Storage] = {}
        self.spans: dict[Storage, Span | None] = {}
        self.grown = True

    def find(self, key):
        while self.root[key] != key:
            key = self.root[key]
        return key

    def unite(self, a, b):
        a, b = self.find(a), self.find(b)
        if a != b:
            self.root[b] = a
            self.sources[a] |= self.sources.pop(b)
            self.grown = True

    def enter(self, init: list[Node]) -> None:
        """Facts from the initial state."""
        seen: dict[Storage, tuple] = {}
        for k, node in enumerate(init):
            for path, alias in self.aliases.of(node).items():
                key = (k, *path)
                self._key(key)
                self.sources[self.find(key)] |= alias.storages()
                if alias.view:
                    self.views.add(key)
                if self.aliases.stale(alias):
                    self.stale.add(key)
                for s in alias.storages():
                    self.unite(seen.setdefault(s, key), key)

    def _key(self, key):
        if key not in self.root:
            self.root[key], self.sources[key] = key, set()
            self.grown = True

    def header(self, params: list[Node]) -> None:
        """Aliases of the parameters for one walk; storages that the loop writes are at a new version from here on."""
        touched = set(self.written)
        for key in self.dirty:
            touched |= self.sources[self.find(key)]
        for s in touched:
            self.aliases.bump(s, self.spans.get(s))
        self.storage = {}
        for k, node in enumerate(params):
            table = self.aliases.table[node] = {}
            for path in paths(node.type):
                key = (k, *path)
                self._key(key)
                root = self.find(key)
                if root not in self.storage:
                    owner = next((s.owner for s in self.sources[root] if s.owner), None)
                    self.storage[root] = Storage(owner)
                version = STALE if key in self.stale else 0
                table[path] = Alias(frozenset({(self.storage[root], version)}), key in self.views)
        self.grown = False
        self.before = dict(self.aliases.versions)
        self.mark = Storage().serial  # storages with a smaller number were there before this walk of the body

    def trip(self, values: list[Node], versions: dict) -> None:
        """Facts from one way round: the next values, at the versions in force there."""
        self.aliases.versions = versions
        mine = {s: root for root, s in self.storage.items()}
        self.writes(versions)
        came: dict[Storage, tuple] = {}
        for k, node in enumerate(values):
            for path, sealed in self.aliases.seal(node).items():
                key = (k, *path)
                self._key(key)
                for s, fresh in sealed.current:
                    if s in came:
                        self.unite(came[s], key)
                    came[s] = key
                    if s not in mine:  # from outside: whatever else may have come from there shares it
                        for root in [r for r, held in self.sources.items() if s in held]:
                            self.unite(root, key)
                    outside = self.sources[self.find(mine[s])] if s in mine else {s} if s.serial < self.mark else set()
                    target = self.sources[self.find(key)]
                    if not outside <= target:
                        target |= outside
                        self.grown = True
                    if not fresh and key not in self.stale:
                        self.stale.add(key)
                        self.grown = True
                if sealed.view and key not in self.views:
                    self.views.add(key)
                    self.grown = True

    def writes(self, versions: dict) -> None:
        """Facts from the versions at an end of the body."""
        mine = {s: root for root, s in self.storage.items()}
        for s, (number, span) in versions.items():
            if self.before.get(s, (0, None))[0] == number:
                continue
            if s in mine:
                if mine[s] not in self.dirty:
                    self.dirty[mine[s]] = span
                    self.grown = True
                for source in self.sources[self.find(mine[s])]:
                    self.spans[source] = span
            elif s.serial < self.mark and s not in self.written:
                self.written.add(s)
                self.spans[s] = span
                self.grown = True

    def leave(self) -> dict[Storage, Alias]:
        """What the storages of the parameters are, seen from after the loop."""
        out = {}
        for root, s in self.storage.items():
            holds = {(s, self.aliases.version(s))}
            holds |= {(o, self.aliases.version(o)) for o in self.sources[self.find(root)]}
            out[s] = Alias(frozenset(holds))
        return out
