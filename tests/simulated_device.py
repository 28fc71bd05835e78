"""A device that is none: programs as they are made for a GPU, whose kernels run as loops on the host.

The target "emulated" has the kernels of a device; here is also when a device's memory is had, read and written.
"""

from collections import Counter

import pytest

from myia_lite.backends.tvm import build, graphs, program


class Recorder:
    """Instead of launching a recording, its call is run again, in the memory that it had."""

    available = True

    def __init__(self):
        self.nothing, self.count = (), Counter()

    def record(self, recording, work):
        self.count["recorded"] += 1
        work()
        work()

    def launch(self, recording, work):
        self.count["launched"] += 1
        work()


@pytest.fixture
def device(monkeypatch):
    """The target "llvm" is a device; the value is the recorder."""
    monkeypatch.setattr(build, "check_kernels", lambda out: None)
    for module in (build, program):
        monkeypatch.setattr(module, "is_device", lambda target: True)
    recorder = Recorder()
    monkeypatch.setattr(program.Program, "recorder", recorder)
    yield recorder
    assert not getattr(graphs._local, "arena", None)
