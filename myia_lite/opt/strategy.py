"""Strategies: programs over rewrite rules, in the style of ELEVATE and Stratego.

A strategy succeeds or fails, on a whole program or at one node of it; a rule is a strategy.  They are values: they
have a
readable repr, they combine by `>>` and `|`, and a name makes one readable as a phase in logs and on the command line.

    identity, fail                succeed, fail; change nothing
    seq(s, t)     s >> t          s, then t on what came out; fails, and changes nothing, where one of them fails
    choice(s, t)  s | t           t where s fails
    attempt(s)                    s | identity
    repeat(s)                     s until it fails
    all_of(s), one_of(s)          s at each operand of a node (fails where one fails); at the first where it succeeds
    bottom_up(s), top_down(s)     one walk, operands before users or users before operands, s wherever it succeeds
    innermost(s), outermost(s)    s until it succeeds nowhere: each new node at once, or in walks from the users down
    normalize(s)                  the normal form of a program: innermost, however often it takes
    fixpoint(s)                   s until it changes nothing
    limit(s, n)                   s until it changes nothing, at most n times

At a program, a rule is tried at the result of the entry.  A walk visits each node once, so a round is linear in the
size of
the program.  What does not settle is stopped, with the names of the rules that alternate.
"""

from __future__ import annotations

from ..ir import Apply, MyiaValueError, Node
from .program import Program

ROUNDS = 100  # of what is repeated until it settles


class Unsettled(MyiaValueError):
    """A strategy went on and on."""


class Strategy:
    """Base class.  `on(program)` says whether it succeeded; `at(walk, node)` gives the node that stands for `node`,
    or None."""

    name: str | None = None
    level = 0  # of its operator: 2 binds closest

    def on(self, program: Program) -> bool:
        from .traversals import at_result

        with program.log.phase(self.text(), program, leaf=True):
            return at_result(self, program)

    def at(self, walk, node: Apply) -> Node | None:
        raise MyiaValueError(f"{self!r} works on programs, not at a node", remedy="take it out of the traversal")

    def __rshift__(self, other: Strategy) -> Strategy:
        return Seq(self, strategy(other))

    def __or__(self, other: Strategy) -> Strategy:
        return Choice(self, strategy(other))

    def __call__(self, graph, log=None):
        """The program that it makes of `graph`."""
        program = Program(graph, log)
        self.on(program)
        return program.entry

    def named(self, name: str) -> Strategy:
        """The same strategy as a phase of that name."""
        return Named(name, self)

    def text(self) -> str:
        return self.name or type(self).__name__.lower()

    def inside(self, level: int) -> str:
        return f"({self.text()})" if 0 < self.level < level else self.text()

    def __repr__(self):
        return self.text()

    def rules(self):
        """The rules that it may apply."""
        return [r for part in self.parts() for r in part.rules()]

    def parts(self):
        return ()


def strategy(s) -> Strategy:
    if not isinstance(s, Strategy):
        raise MyiaValueError(f"{s!r} is no strategy", remedy="combine the strategies of myia_lite.opt")
    return s


class Identity(Strategy):
    def on(self, program):
        return True

    def at(self, walk, node):
        return node


class Fail(Strategy):
    def on(self, program):
        return False

    def at(self, walk, node):
        return None


identity, fail = Identity(), Fail()


class Named(Strategy):
    def __init__(self, name, inner):
        self.name, self.inner = name, inner

    def on(self, program):
        with program.log.phase(self.name, program):
            return self.inner.on(program)

    def at(self, walk, node):
        return self.inner.at(walk, node)

    def parts(self):
        return (self.inner,)

    def definition(self) -> str:
        """What the name stands for."""
        return self.inner.text()


class Seq(Strategy):
    level = 2

    def __init__(self, *steps):
        self.steps = [t for s in steps for t in (s.steps if type(s) is Seq else (s,))]

    def on(self, program):
        before = program.save()
        for s in self.steps:
            if not s.on(program):
                program.restore(before)
                return False
        return True

    def at(self, walk, node):
        mark = walk.mark()
        for s in self.steps:
            if not isinstance(node, Apply) and s is not identity:
                node = s.at_leaf(node) if hasattr(s, "at_leaf") else None
            else:
                node = s.at(walk, node)
            if node is None:
                walk.undo(mark)
                return None
        return node

    def parts(self):
        return self.steps

    def text(self):
        return " >> ".join(s.inside(2) for s in self.steps)


class Choice(Strategy):
    level = 1

    def __init__(self, *alternatives):
        self.alternatives = [t for s in alternatives for t in (s.alternatives if type(s) is Choice else (s,))]

    def on(self, program):
        return any(s.on(program) for s in self.alternatives)

    def at(self, walk, node):
        return next((r for s in self.alternatives if (r := s.at(walk, node)) is not None), None)

    def parts(self):
        return self.alternatives

    def text(self):
        return " | ".join(s.inside(1) for s in self.alternatives)


class Around(Strategy):
    """A combinator of one strategy."""

    def __init__(self, inner, *options):
        self.inner, self.options = strategy(inner), options

    def parts(self):
        return (self.inner,)

    def text(self):
        return f"{self.keyword}({', '.join([self.inner.text(), *map(str, self.options)])})"


class Attempt(Around):
    keyword = "attempt"

    def on(self, program):
        self.inner.on(program)
        return True

    def at(self, walk, node):
        r = self.inner.at(walk, node)
        return node if r is None else r

    def at_leaf(self, node):
        return node


class Repeat(Around):
    keyword = "repeat"

    def on(self, program):
        for _ in range(ROUNDS):
            before = program.log.count
            if not self.inner.on(program):
                return True
            if program.log.count == before:  # it succeeds without changing anything, and would for ever
                raise Unsettled(
                    f"{self!r} goes on without changing anything", remedy="repeat a strategy that fails in the end"
                )
        raise alternating(self, program.log)

    def at(self, walk, node):
        for _ in range(ROUNDS):
            r = self.inner.at(walk, node) if isinstance(node, Apply) else None
            if r is None or r is node:
                return node
            node = r
        raise alternating(self, walk.log)

    def at_leaf(self, node):
        return node


class OfOperands(Around):
    def operands(self, walk, node):
        """The node with `inner` applied at operands: all, or the first that it takes."""
        args, done = list(node.args), 0
        mark = walk.mark()
        for k, a in enumerate(args):
            r = self.inner.at(walk, a) if isinstance(a, Apply) and not a.op.nests else None
            if r is not None:
                args[k] = r
                done += 1
                if self.keyword == "one_of":
                    break
            elif self.keyword == "all_of":
                walk.undo(mark)
                return None
        if not done and self.keyword == "one_of":
            return None
        return node if all(a is b for a, b in zip(args, node.args, strict=True)) else walk.with_args(node, args)

    def at(self, walk, node):
        return self.operands(walk, node)


class AllOf(OfOperands):
    keyword = "all_of"


class OneOf(OfOperands):
    keyword = "one_of"


class Traversal(Around):
    def on(self, program):
        from . import traversals

        before = program.log.count
        with program.log.phase(self.text(), program, leaf=True):
            getattr(traversals, self.keyword)(self.inner, program)
        return program.log.count > before


class BottomUp(Traversal):
    keyword = "bottom_up"


class TopDown(Traversal):
    keyword = "top_down"


class Innermost(Traversal):
    keyword = "innermost"

    def on(self, program):
        super().on(program)
        return True  # a normal form is no failure


class Fixpoint(Around):
    keyword = "fixpoint"
    rounds, complain = ROUNDS, True

    def on(self, program):
        for _ in range(self.rounds):
            before, size = program.log.count, program.size()
            if not self.step(program) or program.log.count == before or self.settled(size, program):
                return True
        if self.complain:
            raise alternating(self, program.log)
        return True

    def step(self, program):
        return self.inner.on(program)

    def settled(self, size, program):
        return False


class Limit(Fixpoint):
    keyword = "limit"
    complain = False

    def __init__(self, inner, rounds):
        super().__init__(inner, rounds)
        self.rounds = rounds

    def settled(self, size, program):
        return program.size() == size  # rules that only move things about are not worth another round


class Normalize(Fixpoint):
    keyword = "normalize"

    def __init__(self, inner):
        super().__init__(inner)
        self.round = Innermost(inner)

    def step(self, program):
        return self.round.on(program)


class Outermost(Normalize):
    keyword = "outermost"

    def __init__(self, inner):
        super().__init__(inner)
        self.round = TopDown(inner)


class Pass(Strategy):
    """A transformation of a whole closed graph: `transform(graph) -> number of changes`, in place."""

    def __init__(self, name, transform, doc=""):
        self.name, self.transform, self.__doc__ = name, transform, doc

    def on(self, program):
        with program.log.phase(self.name, program, leaf=True):
            program.each(self.name, self.transform)
        return True


def alternating(s, log) -> Unsettled:
    names = log.latest()
    return Unsettled(
        f"{s!r} does not settle: {' and '.join(names) or 'its strategies'} alternate",
        remedy="drop one of them, or bound it by limit",
    )


def seq(*steps) -> Strategy:
    return Seq(*map(strategy, steps)) if steps else identity


def choice(*alternatives) -> Strategy:
    return Choice(*map(strategy, alternatives)) if alternatives else fail


attempt, repeat, all_of, one_of = Attempt, Repeat, AllOf, OneOf
bottom_up, top_down, innermost, outermost = BottomUp, TopDown, Innermost, Outermost
normalize, fixpoint, limit = Normalize, Fixpoint, Limit
