"""Networks of NumPy arrays: layers, containers, losses, optimisers and a training loop.

The layers have the names and arguments of `torch.nn`. They hold parameters and call the functions of
`fastconv.functional` and `fastconv.grad`; there is no graph: a layer goes back through its own last forward pass.

Examples
--------
>>> import numpy as np
>>> from fastconv import nn
>>> network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 10))
>>> network(np.zeros((2, 3, 8, 8), np.float32)).shape
(2, 10)
"""

from . import init
from .callbacks import (
    Checkpoint,
    EarlyStopping,
    LearningRateSchedule,
    ReduceLROnPlateau,
    cosine_decay,
    step_decay,
)
from .containers import Concat, Container, Residual
from .layers import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AdaptiveMaxPool2d,
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
    Dropout,
    Flatten,
    Identity,
    Layer,
    LeakyReLU,
    Linear,
    LocallyConnected2d,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Tanh,
    Upsample,
)
from .losses import CrossEntropyLoss, Loss, MSELoss
from .optimisers import SGD, Adam, AdamW, Optimizer
from .sequential import Sequential
from .summary import Summary
from .training import History

__all__ = [
    "Adam",
    "AdamW",
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool2d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "Checkpoint",
    "Concat",
    "Container",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "CrossEntropyLoss",
    "Dropout",
    "EarlyStopping",
    "Flatten",
    "History",
    "Identity",
    "Layer",
    "LeakyReLU",
    "LearningRateSchedule",
    "Linear",
    "LocallyConnected2d",
    "Loss",
    "MSELoss",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "Optimizer",
    "ReLU",
    "ReLU6",
    "ReduceLROnPlateau",
    "Residual",
    "SGD",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Summary",
    "Tanh",
    "Upsample",
    "cosine_decay",
    "init",
    "step_decay",
]
