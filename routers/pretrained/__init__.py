"""Published models, opened from ordinary files and run with our routers inside.

    model = open_model("SmolLM2-135M-Instruct.Q4_1.gguf")
    tokenizer = model.tokenizer()
    tokens = np.asarray([tokenizer.encode(text)[:256]])     # [B, T]
    model.require_tokens(tokens)                            # ids and positions fit

    block = jax.jit(model.block)                            # one program for all layers
    geometry, knobs = model.geometry(256), neutral_knobs(model.router)
    stream = model.embed(model.read_embedding(), tokens)    # [B, T, D]
    for index in range(model.sizes.layers):
        params = model.read_layer(index)                    # only this layer in memory
        stream, y, routing = block(params, stream, geometry, knobs)
    logits = model.logits(model.read_head(), stream)        # [B, T, V]

Opening reads the settings and the list of tensors, and checks that every name, shape
and type fits; weights are loaded by the methods ``read_...``. The others are pure
functions of what was loaded. A block is split around its router, so that nulls and
measures can work on the router's own stages::

    x = model.read(params, stream)
    own = {"params": params["router"]}
    features = model.router.apply(own, x, method="project")
    routing = model.router.apply(own, features, geometry, knobs, method="route")
    y = model.router.apply(own, features, geometry, knobs, method="mix")
    stream = model.write(params, stream, y)

====================  ==================================  ==========================
``model_type``        models                              router, geometry
====================  ==================================  ==========================
llama, qwen2, qwen3   Llama, SmolLM, Qwen; also GGUF      `GroupedAttention`, causal
qwen3_attnres         Qwen3, block attention residuals    `GroupedAttention`, causal
gpt2                  GPT-2                               `GroupedAttention`, causal
gpt_neox              GPT-NeoX, Pythia                    `GroupedAttention`, causal
bert                  BERT, MiniLM: no logits             `GroupedAttention`, graph
mamba                 Mamba                               `SelectiveSSM`, causal
mamba2                Mamba-2                             `SSD`, causal
rwkv                  RWKV-4                              `RWKV4`, causal
====================  ==================================  ==========================

Where residuals are attention over depth, a stream is more than the state, which
``model.hidden(stream)`` takes out of it: see `attention_residuals.Depth`.

Other models have a reader of one's own: a function from a `Source` to a `Network`, the
same as `read_gpt2` and its siblings, given to `open_model` as ``module:function``.
"""

from routers.pretrained.model import FAMILIES, Model, Pass, open_model
from routers.pretrained.network import Layer, Network, Params, Sizes
from routers.pretrained.source import Source
from routers.pretrained.tokenizer import Tokenizer

__all__ = [
    "FAMILIES",
    "Layer",
    "Model",
    "Network",
    "Params",
    "Pass",
    "Sizes",
    "Source",
    "Tokenizer",
    "open_model",
]
