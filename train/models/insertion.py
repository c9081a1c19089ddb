"""Put attention behind a named layer of any module, without touching its code."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from train.models.attention import align_time


class Insertion:
    """A live insertion: hands the context to the attention, and can be taken out again.

    >>> insertion = insert_after(model, "layers.6", CrossAttention(256, 512))
    >>> with insertion.use(context):
    ...     scores = model(joints)
    """

    def __init__(self, module: nn.Module, layer_name: str, attention: nn.Module) -> None:
        self.attention, self.layer_name = attention, layer_name
        self.context: Tensor | None = None
        self._module = module
        self._name = f"attention_after_{layer_name.replace('.', '_')}"
        if self._name in dict(module.named_children()):
            raise ValueError(f"attention already follows layer {layer_name!r}")
        layer = _find_layer(module, layer_name)
        module.add_module(self._name, attention)
        self._hook = layer.register_forward_hook(self._attend)

    def _attend(self, layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        if not isinstance(output, Tensor):
            kind = type(output).__name__
            raise ValueError(f"layer {self.layer_name!r} yields a {kind}, attention needs a tensor")
        if self.context is None:
            raise ValueError(
                f"no context for the attention after layer {self.layer_name!r}: call the module "
                "inside `with insertion.use(context)`"
            )
        return self.attention(output, align_time(self.context, output.shape[2]))

    @contextmanager
    def use(self, context: Tensor) -> Iterator[None]:
        """Give forwards inside the block this context, (B, m, T, H, W) or (B, T, k, m).

        Its frames are averaged or repeated to those of the layer, see :func:`align_time`.
        """
        before, self.context = self.context, context
        try:
            yield
        finally:
            self.context = before

    def remove(self) -> None:
        """Take the hook and the attention out; the module is as before."""
        self._hook.remove()
        delattr(self._module, self._name)


def insert_after(module: nn.Module, layer_name: str, attention: nn.Module) -> Insertion:
    """Apply ``attention(output, context)`` to each output of a layer, from now on.

    The layer is named as in ``module.named_modules()`` and must yield (B, d, T, V),
    (B * M, d, T, V) or (B, d, T, V, M).  The attention becomes a child of ``module``, so its
    parameters are trained, moved and saved with it.  Raises ``ValueError`` for an unknown name.
    """
    return Insertion(module, layer_name, attention)


def _find_layer(module: nn.Module, layer_name: str) -> nn.Module:
    layers = dict(module.named_modules())
    if not layer_name or layer_name not in layers:
        close = ", ".join(name for name in layers if name) or "none"
        raise ValueError(f"no layer is called {layer_name!r}; there are: {close}")
    return layers[layer_name]
