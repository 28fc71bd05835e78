"""How a function takes its arguments."""

from __future__ import annotations

import ast
from dataclasses import dataclass


@dataclass(frozen=True)
class Signature:
    """Parameters by kind, in the order of the graph's parameters: `posonly`, `names`, `vararg`, `kwonly`.

    `defaults` names the parameters that have a default, in the order in which the default values are given: positional
    ones, then keyword-only ones.  `kwarg` is always None: `**kwargs` is not in the subset.
    """

    posonly: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    kwonly: tuple[str, ...] = ()
    vararg: str | None = None
    kwarg: str | None = None
    defaults: tuple[str, ...] = ()

    @property
    def parameters(self) -> tuple[str, ...]:
        """All names, in the order of the graph's parameters."""
        return (*self.posonly, *self.names, *([self.vararg] if self.vararg else []), *self.kwonly)

    @classmethod
    def of(cls, args: ast.arguments) -> Signature:
        positional = [a.arg for a in (*args.posonlyargs, *args.args)]
        with_default = positional[len(positional) - len(args.defaults) :]
        keyword = [a.arg for a, d in zip(args.kwonlyargs, args.kw_defaults, strict=True) if d is not None]
        return cls(
            posonly=tuple(a.arg for a in args.posonlyargs),
            names=tuple(a.arg for a in args.args),
            kwonly=tuple(a.arg for a in args.kwonlyargs),
            vararg=args.vararg.arg if args.vararg else None,
            kwarg=args.kwarg.arg if args.kwarg else None,
            defaults=(*with_default, *keyword),
        )


def default_expressions(args: ast.arguments) -> list[ast.expr]:
    """The default values, in the order of `Signature.defaults`, which is Python's order of evaluation."""
    return [*args.defaults, *(d for d in args.kw_defaults if d is not None)]
