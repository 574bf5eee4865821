"""Stateless randomness: sample order is a function of (seed, epoch), augmentation of (seed, epoch, sample).

Nothing has to be saved to resume but the number of the iteration, and any step can be replayed.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from resnets.runtime.processes import WHOLE, Share

_MASK = (1 << 64) - 1


@lru_cache(maxsize=4)
def epoch_order(seed: int, epoch: int, samples: int) -> NDArray[np.int64]:
    """Return the permutation in which an epoch visits its samples. Shape: (samples,)."""
    generator = np.random.Generator(np.random.Philox(key=[seed & _MASK, epoch]))
    order = generator.permutation(samples).astype(np.int64)
    order.flags.writeable = False
    return order


def batch_samples(
    seed: int, iteration: int, batch_size: int, samples: int, share: Share = WHOLE
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the samples of one iteration's mini-batch and the epoch that each is drawn in.

    The epochs follow each other in one endless stream, cut into full mini-batches, so a batch may hold the end of
    one epoch and the start of the next, as in Caffe. One of several processes gets its share of the mini-batch.

    Shape: two arrays (batch_size,)
    """
    indices, epochs = samples_of_batches(seed, range(iteration, iteration + 1), batch_size, samples, share)
    return indices[0], epochs[0]


def samples_of_batches(
    seed: int, iterations: range, batch_size: int, samples: int, share: Share = WHOLE
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return what `batch_samples` returns for each of several iterations.

    Shape: two arrays (iterations, batch_size)
    """
    own = share.of_batch(batch_size)
    within = np.arange(own.start, own.stop, dtype=np.int64)
    positions = np.asarray(iterations, np.int64)[:, None] * batch_size + within
    epochs, offsets = np.divmod(positions, samples)
    indices = np.empty_like(positions)
    for epoch in range(int(epochs[0, 0]), int(epochs[-1, -1]) + 1):
        here = epochs == epoch
        indices[here] = epoch_order(seed, epoch, samples)[offsets[here]]
    return indices, epochs


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64-bit words (the finaliser of splitmix64)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def sample_bits(seed: int, epochs: NDArray[np.int64], samples: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return 64 random bits for each (seed, epoch, sample).

    Shape: (B,), (B,) -> (B,) uint64
    """
    golden = np.uint64(0x9E3779B97F4A7C15)
    state = _mix(np.full(len(samples), seed & _MASK, np.uint64) + golden)
    state = _mix(state + epochs.astype(np.uint64) * golden)
    return _mix(state + samples.astype(np.uint64) * golden + golden)


def normals(bits: NDArray[np.uint64], count: int) -> NDArray[np.float64]:
    """Return `count` standard normal numbers for each word (by Box and Muller). Shape: (B,) -> (B, count)."""
    golden = np.uint64(0x9E3779B97F4A7C15)
    steps = np.arange(1, 2 * count + 1, dtype=np.uint64) * golden
    uniform = (_mix(bits[:, None] + steps) >> np.uint64(11)).astype(np.float64) * 2.0**-53  # (B, 2 * count), in [0, 1)
    radius = np.sqrt(-2 * np.log1p(-uniform[:, :count]))
    return radius * np.cos(2 * np.pi * uniform[:, count:])


def uniform_integers(bits: NDArray[np.uint64], field: int, high: int) -> NDArray[np.int64]:
    """Return integers in [0, high), high <= 256, from the 16-bit `field` (0 to 3) of each word."""
    word = (bits >> np.uint64(16 * field)) & np.uint64(0xFFFF)
    return ((word * np.uint64(high)) >> np.uint64(16)).astype(np.int64)
