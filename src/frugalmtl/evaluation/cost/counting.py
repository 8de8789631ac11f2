"""Operations that run, parameters and stored bytes of a module."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from frugalmtl.core.checks import UserError, positive
from frugalmtl.core.counting import MacCounter, MacTally, device_of, dtype_of, on_meta
from frugalmtl.evaluation.cost.conventions import CONVENTION
from frugalmtl.evaluation.cost.noise import refuse_noise

NOISE_SEED = 0


@dataclass(frozen=True)
class Counts:
    """What one forward pass does and what the module stores.

    Attributes:
        macs: multiply-adds of the convolutions and matrix products (attention included) in one pass of the batch.
        products: those among them that hold no weight: the products of batches of matrices inside attention (``Q K^T``
            and ``A V``).
        flops: 2 x ``macs``; normalisation, activations, interpolation and additions are not counted, as is usual.
        params: numbers in parameters, shared ones once.
        bytes: bytes of parameters and buffers in their own number formats, shared storage once.
        by_module: ``{dotted name: macs}`` of every submodule that ran, its own submodules included.
        image_size: height and width of the image.
        batch: images in the batch.
        counted_on: ``"meta"`` (shapes alone decide the cost) or ``"values"`` (the module cannot run without values:
            counted on a real forward pass of noise).
    """

    macs: int
    flops: int
    params: int
    bytes: int
    products: int = 0
    by_module: dict[str, int] = field(default_factory=dict)
    image_size: tuple[int, int] = (0, 0)
    batch: int = 1
    counted_on: Literal["meta", "values"] = "meta"
    convention: str = CONVENTION

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class CostDistribution:
    """MACs per image over a set of images, for modules whose cost depends on the image.

    Percentiles interpolate linearly. ``products`` is the mean of :attr:`Counts.products`.
    """

    mean: float
    p5: float
    p50: float
    p95: float
    min: float
    max: float
    images: int
    products: float = 0.0
    convention: str = CONVENTION

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def count(module: nn.Module, image_size: tuple[int, int], batch: int = 1) -> Counts:
    """Count what the module does on images ``[batch, 3, H, W]`` in eval mode, and what it stores.

    The operations that run are counted (``torch.utils.flop_counter``), never a formula over the architecture. The pass
    runs on the meta device, where only shapes exist; a module that needs values runs on noise of a fixed seed instead
    (see :attr:`Counts.counted_on`). One that says that its cost depends on the image is not counted here, but by
    :func:`distribution` on real images.

    Raises:
        UserError: a size or batch that is not positive, or a module that chooses by the image what it runs.
    """
    height, width = image_size
    for what, value in (("image height", height), ("image width", width), ("batch", batch)):
        positive(what, value)
    refuse_noise(module)
    shape = (batch, 3, height, width)
    params, stored = storage(module)
    counted_on: Literal["meta", "values"] = "meta"
    try:
        by_module, products = _macs(on_meta(module), torch.empty(shape, dtype=dtype_of(module), device="meta"))
    except (RuntimeError, NotImplementedError, TypeError, ValueError):
        # Reading a value (a mask, a gate) or a tensor kept outside parameters and buffers cannot work on meta. An error
        # of the module itself comes up again right here, on values.
        counted_on = "values"
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(NOISE_SEED))
        by_module, products = _macs(module, noise.to(device_of(module), dtype_of(module)))
    macs = by_module.pop("")
    return Counts(macs, 2 * macs, params, stored, products, by_module, (height, width), batch, counted_on)


def distribution(module: nn.Module, images: Iterable[Tensor]) -> CostDistribution:
    """Count every image ``[3, H, W]`` (or ``[1, 3, H, W]``) on its real values, one forward pass each.

    Raises:
        UserError: no image.
    """
    device, dtype, tally = device_of(module), dtype_of(module), MacTally(module)
    with tally.ready():
        passes = [tally.macs(image.reshape(1, *image.shape[-3:]).to(device, dtype)) for image in images]
    if not passes:
        raise UserError("the cost distribution needs at least one image, but got none")
    macs = [whole for whole, _ in passes]
    p5, p50, p95 = (float(value) for value in np.percentile(macs, [5, 50, 95]))
    products = float(np.mean([number for _, number in passes]))
    return CostDistribution(float(np.mean(macs)), p5, p50, p95, float(min(macs)), float(max(macs)), len(macs), products)


def storage(module: nn.Module) -> tuple[int, int]:
    """Numbers in parameters (shared ones once), and bytes of parameters and buffers (shared storage once).

    A tensor that views a part of a storage counts for its own elements; two tensors over the same elements count once.
    """
    params = sum(parameter.numel() for parameter in module.parameters())
    seen: dict[tuple[Any, ...], int] = {}
    for tensor in (*module.parameters(), *module.buffers()):
        for part in _dense_parts(tensor):
            # Meta tensors have no address: there, tensor identity decides.
            place = id(part) if part.is_meta else part.data_ptr()
            seen[(part.device, place, part.numel(), part.dtype)] = part.numel() * part.element_size()
    return params, sum(seen.values())


def _dense_parts(tensor: Tensor) -> list[Tensor]:
    if tensor.layout is torch.strided:
        return [tensor]
    if tensor.layout is torch.sparse_coo:
        return [tensor._indices(), tensor._values()]
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return [tensor.crow_indices(), tensor.col_indices(), tensor.values()]
    return [tensor.ccol_indices(), tensor.row_indices(), tensor.values()]


def _macs(module: nn.Module, image: Tensor) -> tuple[dict[str, int], int]:
    """``{dotted name: MACs}``, the whole under ``""``; and the MACs of attention's products."""
    with MacCounter(module) as counter:
        module(image)
    root = type(module).__name__
    direct = counter.by_name()
    names = {name.removeprefix(f"{root}."): macs for name, macs in direct.items() if name.startswith(f"{root}.")}
    return {"": direct.get("Global", 0), **_with_parents(names)}, counter.attention.macs


def _with_parents(direct: dict[str, int]) -> dict[str, int]:
    """Add modules whose parts ran although their own ``forward`` was not called (``encoder.encode`` calls stages)."""
    total = dict(direct)
    missing = {name.rsplit(".", depth)[0] for name in direct for depth in range(1, name.count(".") + 1)} - direct.keys()
    for name in sorted(missing, key=lambda path: -path.count(".")):
        children = [path for path in total if path.rpartition(".")[0] == name]
        total[name] = sum(total[child] for child in children)
    return dict(sorted(total.items()))
