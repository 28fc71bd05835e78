"""Where in the user's source a node comes from."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Span:
    """A region of a source file, and what made the node that carries it (`"reverse of"`, `"inlined into f"`)."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int
    origin: str | None = None

    def made_by(self, origin: str) -> Span:
        return replace(self, origin=origin)

    def __str__(self):
        return f"{self.file}:{self.line}:{self.column + 1}"
