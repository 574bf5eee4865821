"""Order and augmentation are functions of (seed, epoch, sample): nothing asked before changes them."""

from __future__ import annotations

import numpy as np
import pytest

from resnets.data.randomness import batch_samples, epoch_order, sample_bits, uniform_integers


@pytest.mark.parametrize("samples", [1, 2, 97, 1000])
def test_each_epoch_visits_every_sample_once(samples: int) -> None:
    """An order is a permutation."""
    for epoch in (0, 1, 7):
        assert np.array_equal(np.sort(epoch_order(3, epoch, samples)), np.arange(samples))


def test_order_depends_on_seed_and_epoch() -> None:
    """No two seeds or epochs have nearly the same order."""
    orders = [epoch_order(seed, epoch, 1000) for seed in (0, 1, 2**63 - 1) for epoch in (0, 1, 2)]
    for index, order in enumerate(orders):
        for other in orders[index + 1 :]:
            assert np.mean(order == other) < 0.02  # by chance one in a thousand agrees


def test_an_order_cannot_be_changed_by_its_reader() -> None:
    """The order is kept for the next batch, so a caller that shuffled it would change the run."""
    with pytest.raises(ValueError, match=r"read-only"):
        epoch_order(0, 0, 10)[0] = 1


def test_batch_is_the_same_whatever_was_asked_before() -> None:
    """A batch is a function of its number, in any order of requests."""
    forward = [batch_samples(5, i, 32, 100) for i in range(20)]
    for i in reversed(range(20)):
        epoch_order.cache_clear()
        samples, epochs = batch_samples(5, i, 32, 100)
        assert np.array_equal(samples, forward[i][0])
        assert np.array_equal(epochs, forward[i][1])


@pytest.mark.parametrize(("batch_size", "samples"), [(32, 100), (7, 7), (5, 3), (128, 10)])
def test_batches_cut_one_endless_stream_of_epochs(batch_size: int, samples: int) -> None:
    """A batch may span two epochs, or several of a data set smaller than itself; nothing is dropped or doubled."""
    batches = [batch_samples(1, i, batch_size, samples) for i in range(3 * samples)]
    stream = np.concatenate([batch[0] for batch in batches])
    epochs = np.concatenate([batch[1] for batch in batches])
    assert all(len(batch[0]) == batch_size for batch in batches)
    assert np.array_equal(epochs, np.arange(len(stream)) // samples)
    assert np.array_equal(stream, np.concatenate([epoch_order(1, e, samples) for e in range(3 * batch_size)]))


def test_bits_of_a_sample_do_not_depend_on_its_batch() -> None:
    """Alone or with others, a sample has the same random bits."""
    epochs, samples = np.repeat(np.arange(5), 20), np.tile(np.arange(20), 5)
    together = sample_bits(9, epochs, samples)
    for i in range(100):
        assert sample_bits(9, epochs[i : i + 1], samples[i : i + 1])[0] == together[i]


def test_bits_depend_on_each_of_seed_epoch_and_sample() -> None:
    """Neighbours in any of the three differ in half of their 64 bits, and no two of many are the same."""
    many = 20_000
    samples, zeros = np.arange(many), np.zeros(many, np.int64)
    by_sample, by_epoch = sample_bits(0, zeros, samples), sample_bits(0, samples, zeros)
    by_seed = np.concatenate([sample_bits(seed, zeros[:1], zeros[:1]) for seed in range(2_000)])
    for bits in (by_sample, by_epoch, by_seed):
        assert len(np.unique(bits)) == len(bits)
        differing = np.unpackbits((bits[1:] ^ bits[:-1]).view(np.uint8)).sum() / (len(bits) - 1)
        assert abs(differing - 32) < 0.5
    assert len(np.unique(np.concatenate([by_sample[1:], by_epoch[1:], by_seed]))) == 2 * (many - 1) + 2_000


def test_offsets_and_mirror_are_uniform_and_independent() -> None:
    """All 9 x 9 x 2 crops of pad 4 are equally likely: chi-square of 162 cells within five sigma of its mean 161."""
    epochs, samples = np.repeat(np.arange(40), 5_000), np.tile(np.arange(5_000), 40)
    bits = sample_bits(123, epochs, samples)
    top, left, mirror = uniform_integers(bits, 0, 9), uniform_integers(bits, 1, 9), uniform_integers(bits, 2, 2)
    cells = np.bincount((top * 9 + left) * 2 + mirror, minlength=162)
    expected = len(bits) / 162
    statistic = float(((cells - expected) ** 2 / expected).sum())
    assert abs(statistic - 161) < 5 * np.sqrt(2 * 161), statistic


@pytest.mark.parametrize("high", [1, 2, 9, 255, 256])
def test_integers_stay_in_range_and_reach_its_ends(high: int) -> None:
    """The lowest and highest bits give 0 and high - 1."""
    bits = np.array([0, 2**64 - 1], np.uint64)
    for field in range(4):
        assert uniform_integers(bits, field, high).tolist() == [0, high - 1]


def test_the_stream_is_the_one_that_older_runs_were_trained_with() -> None:
    """These numbers may never change, in any process: a run that is resumed must go on as it started."""
    assert epoch_order(7, 3, 10).tolist() == [8, 4, 5, 3, 6, 0, 9, 7, 1, 2]
    assert sample_bits(1, np.array([2]), np.array([3])).tolist() == [10240744290557228159]
