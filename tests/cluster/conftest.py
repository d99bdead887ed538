"""Tests that start Ray do so under one environment, which Ray reads once: when it is first imported."""

import os

from nodes import ENVIRONMENT

os.environ.update(ENVIRONMENT)
