"""Random programs over integers, with every kind of control flow: source text that always terminates."""

from __future__ import annotations

import random

NAMES = ["a", "b", "c", "d", "e"]  # a and b are parameters; the others may be unassigned where they are read


class Writer:
    def __init__(self, seed: int):
        self.random = random.Random(seed)
        self.lines: list[str] = []
        self.functions: list[str] = []

    def pick(self, *choices):
        return self.random.choice(choices)

    def name(self):
        return self.pick("a", "b", "a", "b", *NAMES)

    def expression(self, depth=0):
        if depth > 2 or self.random.random() < 0.3:
            return self.pick(self.name(), self.name(), str(self.random.randint(-3, 5)))
        x, y = (self.expression(depth + 1) for _ in range(2))
        return self.pick(
            f"({x} {self.pick('+', '-', '&', '|')} {y})",
            f"({x} * {y} % 101)",
            f"({x} {self.pick('//', '%')} {y})",
            f"({x} if {self.condition(depth + 1)} else {y})",
            f"({x} {self.pick('and', 'or')} {y})",
            f"({self.name()} := {x})",
            f"({self.condition(depth + 1)})",
            f"-{x}",
            f"sum([{y} + q for q in (1, {x})])" if ":=" not in y and depth > 1 else x,
            f"{self.pick(*self.functions)}({x})" if self.functions else y,
        )

    def condition(self, depth=1):
        x, y, z = (self.expression(depth + 1) for _ in range(3))
        return self.pick(
            f"{x} < {y}", f"{x} == {y}", f"{x} < {y} <= {z}", f"not {x}", f"{x} > 0 and {y} < 2", f"{x} > 2 or {y}"
        )

    def block(self, depth, indent, in_loop):
        for _ in range(self.random.randint(1, 4 if depth < 3 else 2)):
            self.statement(depth, indent, in_loop)

    def statement(self, depth, indent, in_loop):
        def put(text):
            self.lines.append("    " * indent + text)

        kinds = ["assign", "augmented", "tuple", "leave"]
        if depth < 4:
            kinds += ["if", "if", "if", "for", "while", "true", "def"]
        match self.pick(*kinds):
            case "assign":
                put(f"{self.name()} = {self.expression()}")
            case "augmented":
                put(f"{self.name()} {self.pick('+', '-', '//', '^')}= {self.expression()}")
            case "tuple":
                put(f"{self.name()}, ({self.name()}, *{self.name()}z) = {self.expression()}, (1, {self.expression()})")
            case "leave":
                choices = ["return a, b", f"return {self.expression()}", "raise KeyError", f"assert {self.condition()}"]
                choices += ["break", "continue"] * 3 if in_loop else ["pass"] * 4
                if self.random.random() < 0.6:
                    put(self.pick(*choices))
                else:
                    put(f"if {self.condition()}: {self.pick(*choices)}")
            case "if":
                put(f"if {self.condition()}:")
                self.block(depth + 1, indent + 1, in_loop)
                if self.random.random() < 0.3:
                    put(f"elif {self.condition()}:")
                    self.block(depth + 1, indent + 1, in_loop)
                if self.random.random() < 0.5:
                    put("else:")
                    self.block(depth + 1, indent + 1, in_loop)
            case "for":
                put(f"for {self.name()} in range({self.random.randint(0, 4)}):")
                self.block(depth + 1, indent + 1, True)
                self.otherwise(depth, indent, in_loop)
            case "while":
                put(f"while (fuel := fuel - 1) > 0 and ({self.condition()}):")
                self.block(depth + 1, indent + 1, True)
                self.otherwise(depth, indent, in_loop)
            case "true":
                put("while True:")
                put("    fuel -= 1")
                put(f"    if fuel < 0: {self.pick('break', 'return a', 'raise IndexError')}")
                self.block(depth + 1, indent + 1, True)
            case "def":
                name = f"f{len(self.lines)}"
                kept = self.functions
                # without parameters of these names, they are captured
                rest = self.pick("", ", c=1, d=2, e=3", ", c=1, d=2, e=3", ", c=1, d=4, *, e=3")
                put(f"def {name}(a, b={self.expression()}{rest}):")
                self.functions = []
                put("    fuel = 5")
                self.block(depth + 2, indent + 1, False)
                self.functions = [*kept, name]

    def otherwise(self, depth, indent, in_loop):
        if self.random.random() < 0.3:
            self.lines.append("    " * indent + "else:")
            self.block(depth + 1, indent + 1, in_loop)


def random_program(seed: int) -> str:
    w = Writer(seed)
    w.lines.append("def f(a, b, fuel=20):")
    w.block(0, 1, False)
    w.lines.append(f"    return {', '.join(w.random.sample(NAMES, 2))}")
    return "\n".join(w.lines) + "\n"
