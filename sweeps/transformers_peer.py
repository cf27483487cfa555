"""Peers of `onset bench --what=mixing`: transformers' mixers on CPU, run eagerly."""

from collections.abc import Callable
from typing import Any

import torch
from transformers import MambaConfig, RwkvConfig
from transformers.models.mamba.modeling_mamba import MambaMixer
from transformers.models.rwkv.modeling_rwkv import RwkvSelfAttention

from routers.base import Router
from routers.rwkv import RWKV4
from sweeps.placement import cores


def mixer_step(router: Router, batch: int, length: int) -> Callable[[], None]:
    """One forward and backward pass of the mixer of the router's shapes.

    Args:
      router: `RWKV4` or `SelectiveSSM`; parameters are random, of its sizes.
      batch: B.
      length: T.

    Returns:
      A function that computes gradients of parameters and input.
    """
    torch.set_num_threads(cores())
    mixer = _mixer(router)
    for parameter in mixer.parameters():  # some are left uninitialised
        torch.nn.init.normal_(parameter, std=0.1)
    x = torch.randn(batch, length, router.width, requires_grad=True)

    def step() -> None:
        mixer.zero_grad(set_to_none=True)
        x.grad = None
        y = mixer(x)
        (y[0] if isinstance(y, tuple) else y).square().mean().backward()

    return step


def _mixer(router: Router) -> Any:
    width, config = router.width, router.config
    if isinstance(router, RWKV4):
        sizes = RwkvConfig(hidden_size=width, num_hidden_layers=1, vocab_size=8)
        return RwkvSelfAttention(sizes)
    sizes = MambaConfig(
        hidden_size=width,
        expand=config.expand,
        state_size=config.state,
        conv_kernel=config.conv,
        time_step_rank=config.step_rank or "auto",
        num_hidden_layers=1,
        use_mambapy=False,
        use_associative_scan=False,
    )
    return MambaMixer(sizes, layer_idx=0)
