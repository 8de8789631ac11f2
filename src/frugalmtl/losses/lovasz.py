"""Lovász-softmax: a loss whose minimum is that of 1 - IoU (Berman et al., 2018)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from frugalmtl.losses._masking import full_precision, mean_over


def lovasz(raw: Tensor, target: Tensor, valid: Tensor, *, per_image: bool = False) -> Tensor:
    """Lovász extension of the Jaccard loss of each class on the errors of the softmax, mean over the classes in labels.

    With the errors ``m_p = |y_pc - softmax(raw_p)_c|`` of the valid pixels in descending order,
    ``L_c = sum_k m_k (J_k - J_{k-1})``, where ``J_k`` is 1 - IoU of class c if the first k pixels, and no others, are
    predicted wrongly. Berman, Triki, Blaschko 2018, "The Lovász-Softmax loss", eq. 8 and 11 and algorithm 1, with their
    classes "present".

    Args:
        raw: logits ``[B, C, H, W]``.
        target: class indices ``[B, H, W]``; any value where not valid.
        valid: bool ``[B, H, W]``.
        per_image: mean over the losses of the images that have a label, instead of one loss over the batch.
    """
    groups = len(raw) if per_image else 1
    counts = valid.reshape(groups, -1, 1)
    shares = full_precision(raw).softmax(dim=1).movedim(1, -1).reshape(groups, -1, raw.shape[1])
    classes = target.where(valid, 0).reshape(groups, -1)
    truth = F.one_hot(classes, raw.shape[1]).to(shares.dtype) * counts
    # A pixel without a label has an error of 0, stands behind all others, and so adds nothing: no pixel is picked out,
    # which would let the host wait for the device.
    errors, order = ((truth - shares).abs() * counts).sort(dim=1, descending=True)
    hits = truth.gather(1, order)
    total = hits.sum(dim=1, keepdim=True)
    jaccard = 1.0 - (total - hits.cumsum(1)) / (total + (1.0 - hits).cumsum(1))
    steps = jaccard.diff(dim=1, prepend=jaccard.new_zeros(groups, 1, raw.shape[1]))
    present = total[:, 0] > 0
    by_group = mean_over(((errors * steps).sum(dim=1) * present).sum(dim=1), present.sum(dim=1))
    return mean_over(by_group.sum(), present.any(dim=1).sum())
