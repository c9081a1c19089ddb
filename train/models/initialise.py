"""Starting values of each part."""

from torch import nn

from train.models.agcn import AdaptiveGraphConvolution

Norms = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def initialise_context(branch: nn.Module) -> None:
    """He normal over the fan out, batch norm 1 and 0 (the released 3D-ResNet)."""
    for module in branch.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, Norms):
            _fill_norm(module)


def initialise_skeleton(branch: nn.Module, kind: str) -> None:
    """``he`` as the first ST-GCN code; ``normal``: N(0, .02), norms N(1, .02), as the later."""
    for module in branch.modules():
        if isinstance(module, nn.Conv2d):
            if kind == "he":
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            else:
                nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, Norms):
            _fill_norm(module)
            if kind == "normal":
                nn.init.normal_(module.weight, 1.0, 0.02)
        elif isinstance(module, AdaptiveGraphConvolution):
            nn.init.zeros_(module.learnt)


def _fill_norm(module: nn.Module) -> None:
    nn.init.ones_(module.weight)  # type: ignore[arg-type]
    nn.init.zeros_(module.bias)  # type: ignore[arg-type]
