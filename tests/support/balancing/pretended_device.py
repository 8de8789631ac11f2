"""A device that is none: tensors on it are tensors of the CPU in disguise, and whoever waits for it is noted."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_map_only

NAME = "pretended"


@cache
def pretended_device() -> torch.device:
    """The device, which torch's autograd and random generators take for one."""
    backend_registration._setup_privateuseone_for_python_backend(NAME)
    return torch.device(NAME, 0)


class OnDevice(Tensor):
    """A tensor of the CPU that says it is on the device."""

    raw: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, raw: Tensor) -> Self:
        wrapped = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            raw.size(),
            strides=raw.stride(),
            storage_offset=raw.storage_offset(),
            dtype=raw.dtype,
            device=pretended_device(),
        )
        wrapped.raw = raw
        return wrapped  # type: ignore[no-any-return]

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})

    def tolist(self) -> Any:
        """Waits, as on any device."""
        _note("tolist")
        return self.raw.tolist()

    def new_tensor(self, *args: Any, **kwargs: Any) -> Tensor:
        """Copies from memory of the host that is not pinned, and waits for it."""
        _note("new_tensor")
        return OnDevice(self.raw.new_tensor(*args, **kwargs))


class _Everything(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


_waits: list[str] = []


@contextmanager
def waits() -> Iterator[list[str]]:
    """The operations that make the host wait inside, with the lines that call them."""
    _waits.clear()
    with torch.autograd.set_multithreading_enabled(False), _Everything():
        yield _waits


def _note(operation: str) -> None:
    lines = [frame for frame in traceback.extract_stack() if "frugalmtl" in Path(frame.filename).parts]
    line = f"{Path(lines[-1].filename).name}:{lines[-1].lineno} {lines[-1].line}" if lines else "a test"
    _waits.append(f"{operation} in {line}")


def _run(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    name = func._schema.name
    target = None if kwargs.get("device") is None else torch.device(kwargs["device"]).type
    there: list[Tensor] = []
    tree_map_only(OnDevice, there.append, (args, kwargs))
    raw: Callable[[Any], Any] = lambda value: tree_map_only(OnDevice, lambda tensor: tensor.raw, value)  # noqa: E731
    on_cpu = {key: torch.device("cpu") if key == "device" and target else item for key, item in kwargs.items()}
    result = func(*raw(tuple(args)), **raw(on_cpu))
    if name == "aten::_efficientzerotensor":  # has no memory, and in disguise nobody would know
        result = torch.zeros(result.shape, dtype=result.dtype)
    blocking = not kwargs.get("non_blocking", False)
    if there and name == "aten::_local_scalar_dense":
        _note("reading a number")
    if name == "aten::copy_":
        blocking = not (len(args) > 2 and args[2]) and blocking
        if blocking and isinstance(args[0], OnDevice) != isinstance(args[1], OnDevice):
            _note("a copy")
        return args[0]
    if name == "aten::_to_copy" and blocking and target and isinstance(args[0], OnDevice) != (target == NAME):
        _note("a copy")
    if (target != NAME) if target else not there:
        return result
    result = tree_map_only(Tensor, lambda item: item if isinstance(item, OnDevice) else OnDevice(item), result)
    return return_and_correct_aliasing(func, tuple(args), dict(kwargs), result)
