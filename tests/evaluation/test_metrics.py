"""Counts are exact: scikit-learn's numbers, on any split into batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from resnets.evaluation.metrics import Counts


def _random(samples: int, classes: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(samples, classes, generator=generator)
    return logits, torch.randint(0, classes, (samples,), generator=generator)


def _count(logits: torch.Tensor, labels: torch.Tensor, ends: list[int]) -> Counts:
    counts = Counts(logits.shape[1])
    for start, end in zip([0, *ends], [*ends, len(labels)], strict=True):
        counts.add(logits[start:end], labels[start:end])
    return counts


@pytest.mark.parametrize("classes", [2, 5, 6, 10, 100, 1000])
@pytest.mark.parametrize("samples", [1, 7, 256, 1003])
def test_scikit_learn(classes: int, samples: int) -> None:
    """Confusion, top-1 and top-5 error and loss equal scikit-learn's, however the samples are cut into batches."""
    from sklearn.metrics import confusion_matrix, log_loss, top_k_accuracy_score

    logits, labels = _random(samples, classes, seed=classes + samples)
    ends = sorted(np.random.default_rng(samples).integers(0, samples + 1, 4).tolist())  # some batches are empty
    counts = _count(logits, labels, ends)

    scores, known = logits.double().softmax(1).numpy(), np.arange(classes)
    predicted = scores.argmax(1)
    assert (counts.confusion.numpy() == confusion_matrix(labels, predicted, labels=known)).all()
    assert counts.samples == samples
    assert counts.top1_wrong == (predicted != labels.numpy()).sum()
    assert counts.top1_error == pytest.approx(100 * counts.top1_wrong / samples, abs=1e-12)
    if classes > 5:
        right = top_k_accuracy_score(labels, scores, k=5, labels=known)
        assert counts.top5_error == pytest.approx(100 * (1 - right), abs=1e-9)
        assert counts.top5_wrong == round(samples * (1 - right))
    assert counts.loss == pytest.approx(log_loss(labels, scores, labels=known), rel=1e-5)


@pytest.mark.parametrize("classes", [2, 5])
def test_five_classes_or_fewer(classes: int) -> None:
    """Of five classes, one is always among the five most probable."""
    logits, labels = _random(50, classes, seed=0)
    assert _count(logits, labels, []).top5_error == 0.0


def test_batches_do_not_matter() -> None:
    """One sample at a time, odd batches or all at once: the same counts, and a loss that is the same to rounding."""
    logits, labels = _random(101, 20, seed=1)
    whole = _count(logits, labels, [])
    for ends in (list(range(1, 101)), [64], [100], [3, 50, 51]):
        counts = _count(logits, labels, ends)
        assert torch.equal(counts.confusion, whole.confusion)
        assert (counts.in_top5, counts.samples) == (whole.in_top5, 101)
        assert counts.loss == pytest.approx(whole.loss, rel=1e-6)


def test_percent() -> None:
    """Errors are percent of samples: here one of four is wrong, and its class is second."""
    logits = torch.tensor([[9.0, 1, 0], [1, 9, 0], [1, 0, 9], [9, 1, 0]])
    counts = _count(logits, torch.tensor([0, 1, 2, 1]), [])
    assert (counts.top1_error, counts.top5_error) == (25.0, 0.0)
    assert counts.class_errors == [0.0, 50.0, 0.0]
    assert counts.confusion.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]  # true class by row


def test_class_without_samples() -> None:
    """A class that the split does not hold has no error, rather than one of 0 or a division by zero."""
    counts = _count(torch.tensor([[1.0, 0, 0, 5], [0, 1, 0, 0]]), torch.tensor([0, 1]), [])
    assert counts.class_errors == [100.0, 0.0, None, None]


def test_half_precision() -> None:
    """Logits in bfloat16 are counted as they are, and the loss is computed in float32."""
    logits, labels = _random(64, 10, seed=2)
    half = logits.bfloat16()
    assert torch.equal(_count(half, labels, []).confusion, _count(half.float(), labels, []).confusion)
    assert _count(half, labels, []).loss == _count(half.float(), labels, []).loss


def test_probabilities_count_as_their_logits() -> None:
    """Counts of softmax probabilities are those of the logits."""
    logits, labels = _random(200, 10, seed=4)
    ours = Counts(10)
    ours.add_probabilities(logits.softmax(1), labels)
    expected = _count(logits, labels, [])
    assert torch.equal(ours.confusion, expected.confusion)
    assert ours.top5_wrong == expected.top5_wrong
    assert ours.loss == pytest.approx(expected.loss, rel=1e-5)
