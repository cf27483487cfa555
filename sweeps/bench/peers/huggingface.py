"""Mixers of transformers on CPU, run eagerly: peers in both kinds of benchmark."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import MambaConfig, RwkvConfig
from transformers.models.mamba.modeling_mamba import MambaMixer
from transformers.models.rwkv.modeling_rwkv import RwkvSelfAttention

from routers.base import Router
from routers.pretrained.mamba import MAMBA
from routers.pretrained.rwkv import STACKED, TABLE
from routers.rwkv import RWKV4
from sweeps.runtime.placement import cores


class TransformersMixer(nn.Module):
    """A mixer with the shapes of a router, for `torch_backbone.TorchBackbone`."""

    def __init__(self, router: Router) -> None:
        """Makes the mixer for an `RWKV4` or a `SelectiveSSM`."""
        super().__init__()
        self._rwkv = isinstance(router, RWKV4)
        self.mixer = _mixer(router)

    def published(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters of the router under the names of this module."""
        own = _rwkv_weights(params) if self._rwkv else _mamba_weights(params)
        return {f"mixer.{name}": weight for name, weight in own.items()}

    def forward(self, x: Tensor, _: float) -> Tensor:
        """Mixes ``x [B, T, D]`` at the published brake, the only possible one."""
        return _output(self.mixer(x))


def mixer_step(router: Router, batch: int, length: int) -> Callable[[], None]:
    """Makes one forward and backward pass of a mixer with the shapes of a router.

    Args:
      router: An `RWKV4` or a `SelectiveSSM`; the mixer has random parameters of the
        same sizes.
      batch: Batch size B.
      length: Sequence length T.

    Returns:
      A function that computes the gradients of the parameters and of the input.
    """
    torch.set_num_threads(cores())
    mixer = _mixer(router)
    for parameter in mixer.parameters():  # some are not initialised by transformers
        torch.nn.init.normal_(parameter, std=0.1)
    x = torch.randn(batch, length, router.width, requires_grad=True)

    def step() -> None:
        mixer.zero_grad(set_to_none=True)
        x.grad = None
        _output(mixer(x)).square().mean().backward()

    return step


def _output(y: Any) -> Tensor:
    return y[0] if isinstance(y, tuple) else y


def _rwkv_weights(params: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `routers.pretrained.rwkv.router_params`."""
    weights = {}
    for ours, theirs in TABLE.items():
        parts = params[ours] if ours in STACKED else [params[ours]]
        for name, part in zip(theirs, parts, strict=True):
            weights[name] = part.T if name.endswith(".weight") else part
            if ours in ("time_decay", "time_first"):
                weights[name] = part.reshape(-1)
    return weights


def _mamba_weights(params: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `routers.pretrained.mamba.mixer_parameters`."""
    weights = {theirs: params[ours] for theirs, (ours, _) in MAMBA.items()}
    for name, weight in weights.items():
        if name == "conv1d.weight":
            weights[name] = weight.T[:, None]
        elif name.endswith(".weight"):
            weights[name] = weight.T
    return weights


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
