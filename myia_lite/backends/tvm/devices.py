"""Arrays that lie on a device, and stay there between calls.

A compiled function of this back end takes them as it takes NumPy's; where one of its arguments is such an array, array
results are, too.  Nothing is copied behind the caller's back but NumPy arguments to the device, and what is copied is
counted.
"""

from __future__ import annotations

import operator
from collections import Counter

import numpy as np
import tvm
import tvm_ffi

CPU = 1  # DLPack's number
copies: Counter = Counter()  # "to device", "to host": arrays and numbers copied since the process started


class DeviceArray:
    """An array on a device, which nobody writes to: `shape`, `dtype`, DLPack's protocol, `numpy()`.

    Numbers are made of one as of NumPy's arrays, by a copy to the host.
    """

    __slots__ = ("tensor", "shape", "dtype", "kind", "_exact")
    __myia_array__ = True  # what `infer.abstract` goes by

    def __init__(self, tensor, shape: tuple, dtype: np.dtype, kind: int):
        """`tensor` has as many elements as the shape says; `kind` is DLPack's number of the kind of device."""
        self.tensor, self.shape, self.dtype, self.kind, self._exact = tensor, shape, dtype, kind, None

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    @property
    def device(self) -> str:
        return str(self.tensor.device)

    def __len__(self):
        if not self.shape:
            raise TypeError("an array without axes has no length")
        return self.shape[0]

    def __bool__(self):
        return bool(self.numpy())

    def __int__(self):
        return int(self.numpy())

    def __index__(self):
        return operator.index(self.numpy())

    def __float__(self):
        return float(self.numpy())

    def numpy(self) -> np.ndarray:
        """A copy on the host."""
        copies["to host"] += 1
        t = self.tensor
        host = np.array(np.from_dlpack(t)) if self.kind == CPU else t.numpy()
        return host.reshape(self.shape)

    def __array__(self, dtype=None, copy=None):
        if copy is False:
            raise ValueError("an array on a device is copied")
        return self.numpy() if dtype is None else self.numpy().astype(dtype)

    def exact(self):
        """The tensor in this shape."""
        if self._exact is None:
            t = self.tensor
            same = tuple(t.shape) == self.shape
            self._exact = t if same else tvm.get_global_func("vm.builtin.reshape")(t, self.shape)
        return self._exact

    def __dlpack__(self, *, stream=None, **options):
        if self.kind != CPU and stream != -1:  # the reader's stream does not wait for TVM's; -1 says that it need not
            self.tensor.device.sync()
        return self.exact().__dlpack__(**options)

    def __dlpack_device__(self):
        return self.tensor.__dlpack_device__()

    def __repr__(self):
        return f"<DeviceArray {self.dtype}{list(self.shape)} on {self.device}>"


def place(x, device) -> DeviceArray:
    """`x` on that device: itself where it lies there, without a copy where DLPack allows it."""
    kind = device.dlpack_device_type()
    if isinstance(x, DeviceArray) and x.kind == kind:
        return x
    if not isinstance(x, np.ndarray) and hasattr(x, "__dlpack_device__") and x.__dlpack_device__()[0] == kind != CPU:
        t = tvm_ffi.from_dlpack(x, require_contiguous=True)
        return DeviceArray(t, tuple(t.shape), np.dtype(str(t.dtype)), kind)
    theirs = not isinstance(x, (np.ndarray, DeviceArray)) and hasattr(x, "__dlpack_device__")
    x = np.from_dlpack(x) if theirs and x.__dlpack_device__()[0] == CPU else x
    a = np.array(x, order="C")  # of our own: the caller may write to his
    copies["to device"] += 1
    tensor = tvm_ffi.from_dlpack(a) if kind == CPU else tvm.runtime.tensor(a, device)
    return DeviceArray(tensor, a.shape, a.dtype, kind)
