"""The errors of the compiler: each is a `MyiaError` and the built-in type that a Python user would expect.

An error shows the file and line, the source line with a caret under the construct, and one remedy.
"""

from __future__ import annotations

import linecache

from .span import Span


class MyiaError(Exception):
    """Base class.  `span` is where in the user's source, `remedy` what to do instead."""

    def __init__(self, message: str, span: Span | None = None, remedy: str | None = None):
        self.message, self.span, self.remedy = message, span, remedy
        super().__init__(str(self))

    def __str__(self):
        lines = [self.message]
        if self.span is not None:
            lines.append(excerpt(self.span))
        if self.remedy:
            lines.append(f"Instead: {self.remedy}")
        return "\n".join(lines)


class MyiaSyntaxError(MyiaError, SyntaxError):
    """The construct is not in the subset."""

    __str__ = MyiaError.__str__

    def __init__(self, message, span=None, remedy=None):
        MyiaError.__init__(self, message, span, remedy)


class MyiaTypeError(MyiaError, TypeError):
    """An operand, an argument or a result has a type that does not fit."""


class MyiaValueError(MyiaError, ValueError):
    """A shape or a value known at compile time does not fit."""


class MyiaNameError(MyiaError, NameError):
    """A name that is not defined, or may not be bound yet."""


class MyiaAttributeError(MyiaError, AttributeError):
    """An object has no such attribute, or the subset does not know it."""


class MyiaIndexError(MyiaError, IndexError):
    """An index known at compile time is out of range."""


class MyiaRecursionError(MyiaError, RecursionError):
    """A compile-time recursion that does not end."""


def excerpt(span: Span) -> str:
    """File and line, the source line, and carets under the span."""
    head = f'  File "{span.file}", line {span.line}'
    source = linecache.getline(span.file, span.line).rstrip("\n")
    if not source:
        return head
    indent = len(source) - len(source.lstrip())
    start = len(source.encode()[: span.column].decode(errors="ignore"))
    end = len(source.encode()[: span.end_column].decode(errors="ignore")) if span.end_line == span.line else len(source)
    carets = " " * (start - indent) + "^" * max(1, end - start)
    return f"{head}\n    {source[indent:]}\n    {carets}"
