"""The networks: ``build_model(ModelConfig(...), graph, n_classes)`` is the way in."""

from train.model_config import AttentionConfig, ModelConfig
from train.models.attention import (
    AttentionMaps,
    CrossAttention,
    SelfAttention,
    align_time,
    capture_attention,
)
from train.models.counting import ClipSize, count_macs, count_parameters
from train.models.graph import SkeletonGraph, build_adjacency
from train.models.insertion import Insertion, insert_after
from train.models.networks import ActionNetwork, build_model, use_channels_last

__all__ = [
    "ActionNetwork",
    "AttentionConfig",
    "AttentionMaps",
    "ClipSize",
    "CrossAttention",
    "Insertion",
    "ModelConfig",
    "SelfAttention",
    "SkeletonGraph",
    "align_time",
    "build_adjacency",
    "build_model",
    "capture_attention",
    "count_macs",
    "count_parameters",
    "insert_after",
    "use_channels_last",
]
