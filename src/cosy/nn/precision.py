"""draft"""
from __future__ import annotations
import torch
from torch import Tensor, nn
from cosy.nn.packed import *
from cosy.nn.conv import Conv1d
from cosy.nn import estimator, conformer
