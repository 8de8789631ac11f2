"""Counts are held against arithmetic done by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from frugalmtl.core.checks import UserError
from frugalmtl.evaluation.cost import count, distribution, in_convention, storage


class Function(nn.Module):
    """A module around a function of the image."""

    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, image: Tensor):
        return self.function(self, image)


def test_convolution():
    module = nn.Conv2d(3, 8, 3, stride=2, padding=1)
    counts = count(module, (10, 12), batch=2)
    macs = 2 * 8 * 3 * 9 * 5 * 6
    assert (counts.macs, counts.flops) == (macs, 2 * macs)
    assert counts.params == 8 * 3 * 9 + 8
    assert counts.bytes == 4 * counts.params
    assert counts.counted_on == "meta"
    assert (counts.image_size, counts.batch) == ((10, 12), 2)


def test_grouped_and_transposed_convolution():
    assert count(nn.Conv2d(3, 6, 3, padding=1, groups=3), (4, 4)).macs == 6 * 1 * 9 * 16
    assert count(nn.ConvTranspose2d(3, 5, 2, stride=2), (4, 4)).macs == 3 * 5 * 4 * 16


def test_linear_on_pixels():
    module = Function(lambda self, image: self.linear(image.permute(0, 2, 3, 1)), linear=nn.Linear(3, 7))
    counts = count(module, (4, 5))
    assert (counts.macs, counts.products) == (4 * 5 * 3 * 7, 0)


@pytest.mark.parametrize(
    ("function", "macs"),
    [
        (lambda _, image: torch.einsum("bchw,bdhw->bcd", image, image), 3 * 3 * 20),
        (lambda _, image: image.flatten(1)[0] @ image.flatten(1)[0], 60),  # dot
        (lambda _, image: image[0, 0] @ image[0, 0, 0], 20),  # matrix times vector
        (lambda _, image: image.relu() + image, 0),
        (lambda _, image: torch.zeros(4, 4, device=image.device).addmm_(image[0, 0], image[0, 1].T), 4 * 5 * 4),
    ],
)
def test_products(function, macs):
    assert count(Function(function), (4, 5)).macs == macs


def test_attention_counts_whatever_the_kernel():
    def attend(_, image):
        tokens = image.flatten(2).transpose(1, 2).unsqueeze(1)  # [B, 1, N, 3]
        return F.scaled_dot_product_attention(tokens, tokens, tokens)

    tokens = 6 * 8
    counts = count(Function(attend), (6, 8), batch=2)
    assert counts.macs == counts.products == 2 * 2 * tokens * tokens * 3
    assert counts.counted_on == "meta"
    assert distribution(Function(attend), [torch.rand(3, 6, 8)]).mean == 2 * tokens * tokens * 3


def test_fused_transformer_layer_is_not_hidden():
    layer = nn.TransformerEncoderLayer(12, 2, 24, batch_first=True)
    module = Function(lambda self, image: self.layer(image.reshape(1, -1, 12)), layer=layer)
    tokens = 3 * 8 * 8 // 12
    macs = tokens * 12 * 36 + 2 * tokens * tokens * 12 + tokens * 12 * 12 + 2 * tokens * 12 * 24
    assert count(module, (8, 8)).macs == macs


def test_sparse_matrix_costs_its_stored_values():
    weight = torch.zeros(6, 4)
    weight[0, 1] = weight[3, 2] = weight[5, 0] = 1.0
    module = Function(lambda self, image: torch.sparse.mm(self.matrix, image[0, 0]))
    module.register_buffer("matrix", weight.to_sparse_csr())
    counts = count(module, (4, 5))
    assert counts.macs == 3 * 5
    # 7 row pointers and 3 columns of 8 bytes, 3 values of 4 bytes
    assert counts.bytes == 8 * (7 + 3) + 4 * 3


def test_by_module_covers_parts_called_around_their_parent():
    class Parent(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)
            self.head = nn.Conv2d(4, 2, 1)

    module = Function(lambda self, image: self.parent.head(self.parent.conv(image)), parent=Parent())
    counts = count(module, (2, 2))
    assert counts.by_module == {"parent": 48 + 32, "parent.conv": 48, "parent.head": 32}
    assert counts.macs == 80


def test_shared_parameters_and_storage_count_once():
    first = nn.Conv2d(3, 3, 1, bias=False)
    second = nn.Conv2d(3, 3, 1, bias=False)
    second.weight = first.weight
    module = nn.Sequential(first, second)
    module.register_buffer("small", torch.zeros(10, dtype=torch.float16))
    module.register_buffer("same_small", module.small)
    module.register_buffer("alias", first.weight.detach())
    assert storage(module) == (9, 9 * 4 + 10 * 2)
    assert count(module, (5, 5)).macs == 2 * 9 * 25  # but they work twice


def test_meta_modules_are_counted_too():
    with torch.device("meta"):
        module = nn.Conv2d(3, 8, 1)
    counts = count(module, (4, 4))
    assert (counts.macs, counts.params, counts.bytes) == (3 * 8 * 16, 32, 128)


def test_modules_that_read_values_are_counted_on_values_and_spread_over_images():
    def bright(self, image):
        return self.conv(image) if image.mean() > 0.5 else image

    module = Function(bright, conv=nn.Conv2d(3, 2, 1))
    counts = count(module, (4, 4))
    assert counts.counted_on == "values"
    dark, light = torch.zeros(3, 4, 4), torch.ones(1, 3, 4, 4)
    spread = distribution(module, [dark, dark, light, light, light])
    assert (spread.min, spread.max, spread.mean, spread.p50) == (0, 96, 96 * 3 / 5, 96)
    assert spread.images == 5
    assert spread.as_dict()["p5"] == 0
    with pytest.raises(UserError, match="at least one image"):
        distribution(module, [])


def test_half_precision():
    counts = count(nn.Conv2d(3, 8, 1).to(torch.bfloat16), (4, 4))
    assert (counts.macs, counts.bytes, counts.counted_on) == (3 * 8 * 16, 64, "meta")


def test_module_is_left_as_it_was():
    module = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Dropout())
    module.train()
    module[1].eval()
    count(module, (4, 4))
    assert [part.training for part in module] == [True, False, True]
    assert module[1].running_mean.eq(0).all()
    assert module[0].weight.device.type == "cpu"


def test_errors_of_the_module_come_through():
    with pytest.raises(RuntimeError):
        count(nn.Conv2d(4, 3, 1), (4, 4))
    with pytest.raises(UserError, match="image height must be above 0"):
        count(nn.Conv2d(3, 3, 1), (0, 4))


def test_conventions():
    assert in_convention(10, "2 macs") == 20
    assert in_convention(10, "macs / 2") == 5
    assert in_convention(10, "2 macs, products 1", 4) == 2 * 6 + 4
    assert in_convention(10, "2 macs", 4) == 20
    with pytest.raises(UserError, match="unknown FLOP convention 'flops'"):
        in_convention(10, "flops")
