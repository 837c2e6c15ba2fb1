"""Methods for test_benchmarks.py, in a module of their own: the processes that run them import it."""

from __future__ import annotations

import os
import signal
from functools import partial

import numpy as np


class Norm:
    """Distance from the training mean; two readings of one fit."""

    def __init__(self):
        self.fits = 0

    def fit(self, train):
        self.fits += 1
        self.center = train.mean(axis=0)

    def score(self, test, method):
        assert self.fits == 1
        distance = np.linalg.norm(test - self.center, axis=1)
        return -distance if method == "opposite" else distance


class Broken(Norm):
    def fit(self, train):
        raise ZeroDivisionError("it cannot be")


class Killed(Norm):
    def fit(self, train):
        os.kill(os.getpid(), signal.SIGKILL)


class NotANumber(Norm):
    def score(self, test, method):
        return np.full(len(test), np.nan)


class Hungry(Norm):
    """Takes 128 MB for a while."""

    def fit(self, train):
        super().fit(train)
        np.ones(16 * 2**20).sum()


def make(kind, seed):
    return kind()


NORM = partial(make, Norm)
FAKES = {
    "norm": NORM,
    "opposite": NORM,
    "broken": partial(make, Broken),
    "killed": partial(make, Killed),
    "nan": partial(make, NotANumber),
    "hungry": partial(make, Hungry),
}
