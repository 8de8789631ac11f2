"""Window attention with the bias of relative positions laid out once, on windows of any grids of a batch."""

from __future__ import annotations

from timm.models.swin_transformer import WindowAttention
from torch import Tensor, nn
from torch.nn import functional as F

from frugalmtl.encoders.adamtl.runtime.windows import WindowTable


class LaidOutWindowAttention(nn.Module):
    """Attention of a Swin Transformer inside windows, in eval mode.

    timm gathers the bias of every pair of positions from its table in each call, and adds bias and mask to the scores
    apart; here the bias ``[heads, area, area]`` stands ready, and attention is one operation.

    Args:
        attention: timm's, whose projections are taken over.
    """

    def __init__(self, attention: WindowAttention) -> None:
        super().__init__()
        self.qkv, self.proj, self.heads = attention.qkv, attention.proj, attention.num_heads
        self.register_buffer("bias", attention._get_rel_pos_bias().detach().clone()[0])
        self.bias: Tensor

    def forward(self, tokens: Tensor, table: WindowTable, windows: Tensor) -> Tensor:
        """Normalised tokens of some windows -> attended tokens, both ``[k, area, C]``.

        Args:
            tokens: normalised tokens.
            table: of the grid.
            windows: number of each window in its grid, ``[k]``.
        """
        count, area = tokens.shape[:2]
        query, key, value = self.qkv(tokens).view(count, area, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        bias = self.bias[None]
        if table.kinds is not None and table.masks is not None:
            bias = (table.masks[:, None] + bias).index_select(0, table.kinds.index_select(0, windows))
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        projected: Tensor = self.proj(attended.transpose(1, 2).reshape(count, area, -1))
        return projected
