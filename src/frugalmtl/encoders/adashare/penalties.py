"""Penalties on policies: fewer blocks, and more that tasks run in common."""

from __future__ import annotations

from itertools import combinations
from typing import Literal

import torch
from torch import Tensor

Sparsity = Literal["code", "code_deep", "paper"]
"""Names of the forms of :func:`sparsity_penalty`."""

Sharing = Literal["code", "paper", "prefix"]
"""Names of the forms of :func:`sharing_penalty`."""


def sparsity_penalty(logits: Tensor, opened: int, form: Sparsity) -> Tensor:
    r"""Push towards skipping, over the last ``opened`` blocks, since the others are forced to run.

    With ``a_kl = softmax(logits_kl)[run]`` and the block's number l = 0 .. L - 1:

    - ``"code"``: ``sum_k mean_l -log(1 - a_kl)``, the cross-entropy towards "skip". Its slope in the difference of the
      two logits is ``a``: it fades as a block goes off, and is never below 0.
    - ``"code_deep"``: the same with weights ``2 (l + 1) / L`` (the published code has them where there is no sharing
      penalty, with L its open blocks and l counted among them: deeper ones pay more).
    - ``"paper"``: ``sum_k sum_l log a_kl``. It has no lower bound. Its slope is ``1 - a``: small for a block that
      surely runs, and near 1 for one that is skipped, which is pushed on for ever: at lambda and Adam's rate its logits
      run away, and no later evidence brings the block back. A task's loss or weight decay must hold it.

    Args:
        logits: ``[T, L, 2]``, column 0 is run.
        opened: number of blocks whose choice is open, counted from the last.
        form: see above.
    """
    log_run, log_skip = logits[:, logits.shape[1] - opened :].log_softmax(-1).unbind(-1)
    if form == "paper":
        return log_run.sum()
    cost = -log_skip
    if form == "code_deep":
        cost = cost * (2.0 * torch.arange(1, opened + 1, device=cost.device, dtype=cost.dtype) / opened)
    return cost.mean(1).sum()


def sharing_penalty(
    logits: Tensor, opened: int, form: Sharing, macs: Tensor | None = None, always: Tensor | None = None
) -> Tensor:
    r"""Pull the tasks' choices together: the sum over all pairs of tasks i < j of one of

    - ``"code"``: ``sum_l (l + 1) / L |u_il - u_jl|`` of the raw run logits u: late blocks weigh more.
    - ``"paper"``: ``sum_l (L - l) / L |a_il - a_jl|`` of the run probabilities: early blocks weigh more.
    - ``"prefix"``: see :func:`repeated_share`: what is run twice because two tasks parted before.

    The first two cover all L blocks, also those that are still forced to run, as in the published code.

    Args:
        logits: ``[T, L, 2]``, column 0 is run.
        opened: number of blocks whose choice is open, counted from the last.
        form: see above.
        macs: ``[L]``, see :func:`repeated_share`; for ``"prefix"``.
        always: ``[L + 1]``, see :func:`repeated_share`; for ``"prefix"``.
    """
    tasks, blocks = logits.shape[:2]
    number = torch.arange(blocks, device=logits.device, dtype=logits.dtype)
    values, weights = logits[..., 0], (number + 1.0) / blocks
    if form != "code":
        values, weights = logits.softmax(-1)[..., 0], (blocks - number) / blocks
    pairs = combinations(range(tasks), 2)
    if form == "prefix":
        if macs is None or always is None:
            raise ValueError("the sharing penalty 'prefix' needs the multiply-adds of the blocks")
        forced = torch.ones_like(values[:, : blocks - opened])
        values = torch.cat([forced, values[:, blocks - opened :]], dim=1)
        terms = [repeated_share(values[first], values[second], macs, always) for first, second in pairs]
    else:
        terms = [(weights * (values[first] - values[second]).abs()).sum() for first, second in pairs]
    return torch.stack(terms).sum() if terms else logits.new_zeros(()) * logits.sum()


def repeated_share(first: Tensor, second: Tensor, macs: Tensor, always: Tensor) -> Tensor:
    r"""Expected multiply-adds that two tasks both run, on features that differ, over those of the whole network.

    Features are equal as long as all earlier decisions agreed. For independent draws its chance before block l is

        A_l = prod_{m < l} (a_m b_m + (1 - a_m) (1 - b_m)),   A_0 = 1,

    and what is repeated is

        R = [ sum_{l=0}^{L-1} (1 - A_l) (s_l + c_l a_l b_l) + (1 - A_L) s_L ] / (sum_l c_l + sum_l s_l)

    with c_l the multiply-adds of block l's branch and s_l those of what always runs between the choices before and at l
    (shortcuts, blocks without one). For two tasks R is exactly the expected cost of the deployed tree less the cost of
    running every part that somebody runs once; for more it is summed over pairs, where the tree's own cost would count
    what three tasks share once: larger than the truth, with the same minimum of 0 at equal policies. An early
    disagreement is dear, one behind the last expensive block costs nothing, and so does one where either task skips all
    that follows. This form is ours.

    Args:
        first: run probabilities of one task, ``[L]``.
        second: of the other, ``[L]``.
        macs: c, ``[L]``.
        always: s, ``[L + 1]``.
    """
    agreed = first * second + (1.0 - first) * (1.0 - second)
    before = torch.cat([agreed.new_ones(1), agreed.cumprod(0)])
    both = torch.cat([macs * first * second, macs.new_zeros(1)])
    return ((1.0 - before) * (always + both)).sum() / (macs.sum() + always.sum())
