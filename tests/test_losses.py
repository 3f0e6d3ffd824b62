"""Losses: formulas in plain NumPy, finite differences, PyTorch as a second opinion, and bad arguments."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from networks import numeric_gradient

import fastconv as fc
from fastconv import nn

SHAPES = [(4, 3), (1, 1), (37, 10), (2, 5, 2, 3), (3, 7, 50), (5,), (40, 300), (2, 3, 33, 70)]
KINDS = ("classes", "ignored", "probabilities")


def problem(shape, kind, dtype=np.float64):
    """Scores, targets, and the ignore_index that goes with them."""
    rng = np.random.default_rng(sum(shape))
    scores = (5 * rng.normal(size=shape)).astype(dtype)
    axis = 1 if len(shape) > 1 else 0
    if kind == "probabilities":
        target = rng.random(shape)
        return scores, (target / target.sum(axis=axis, keepdims=True)).astype(dtype), -100
    target = rng.integers(shape[axis], size=shape[:1] + shape[2:] if axis else ())
    return scores, target, -100 if kind == "classes" else int(np.min(target))


def plain_cross_entropy(scores, target, weight, ignore_index, reduction, smoothing):
    """The definition, and the number of right classes and of all."""
    scores = scores.astype(np.float64)
    if scores.ndim == 1:
        scores, target = scores[None], np.asarray(target)[None]
    classes = scores.shape[1]
    scores = np.moveaxis(scores, 1, -1).reshape(-1, classes)
    weight = np.ones(classes) if weight is None else weight
    log_softmax = scores - scores.max(axis=1, keepdims=True)
    log_softmax -= np.log(np.exp(log_softmax).sum(axis=1, keepdims=True))
    if target.dtype.kind == "f":
        distribution = np.moveaxis(target, 1, -1).reshape(-1, classes)
        counted, mass = np.ones(len(scores), bool), float(len(scores))
        expected = distribution.argmax(axis=1)
    else:
        expected = target.reshape(-1)
        counted = expected != ignore_index
        distribution = np.eye(classes)[expected]
        mass = weight[expected[counted]].sum()
    distribution = (distribution * (1 - smoothing) + smoothing / classes) * weight
    total = -(distribution * log_softmax)[counted].sum()
    right = int((scores.argmax(axis=1) == expected)[counted].sum()), int(counted.sum())
    if reduction == "sum":
        return total, right
    return total / mass if mass else math.nan, right


# Values


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cross_entropy_is_its_definition(isa, shape, kind, dtype):
    scores, target, ignore_index = problem(shape, kind, dtype)
    classes = shape[1] if len(shape) > 1 else shape[0]
    tolerance = 1e-5 if dtype == np.float32 else 1e-11
    for weighted, smoothing, reduction in itertools.product((False, True), (0.0, 0.1, 1.0), ("mean", "sum")):
        weight = np.linspace(0.5, 2, classes) if weighted else None
        loss = nn.CrossEntropyLoss(weight, ignore_index, reduction, smoothing)
        expected, right = plain_cross_entropy(scores, target, weight, ignore_index, reduction, smoothing)
        assert loss(scores, target) == pytest.approx(expected, rel=tolerance, nan_ok=True)
        assert loss.correct == right
        assert loss.backward().dtype == dtype and loss.backward().shape == shape


def test_first_of_equal_scores_wins():
    loss = nn.CrossEntropyLoss()
    for target, right in ([0, 0, 0], 3), ([1, 0, 2], 1):
        loss(np.zeros((3, 3), np.float32), np.array(target))
        assert loss.correct == (right, 3)
    loss(np.full((1, 3), np.nan), np.array([0]))
    assert loss.correct == (0, 1)


def test_large_scores_do_not_overflow():
    loss = nn.CrossEntropyLoss()
    assert loss(np.array([[1e4, 0.0, -1e4]]), np.array([0])) == 0
    assert loss(np.array([[1e4, 0.0, -1e4]], np.float32), np.array([2])) == 2e4
    assert np.isfinite(loss.backward()).all()
    assert loss(np.array([[0.0, -np.inf]]), np.array([0])) == 0  # a class that is ruled out
    np.testing.assert_array_equal(loss.backward(), [[0, 0]])
    assert math.isnan(loss(np.array([[0.0, np.nan]]), np.array([0])))


def test_a_small_loss_keeps_its_digits():
    scores = np.array([[20.0, 0.0]], np.float32)
    assert nn.CrossEntropyLoss()(scores, np.array([0])) == pytest.approx(math.log1p(math.exp(-20)), rel=1e-6)


def test_all_targets_ignored():
    scores, loss = np.ones((2, 3)), nn.CrossEntropyLoss(ignore_index=255)
    assert math.isnan(loss(scores, np.full(2, 255, np.uint8)))
    assert not loss.backward().any() and loss.correct == (0, 0)
    assert nn.CrossEntropyLoss(ignore_index=255, reduction="sum")(scores, np.full(2, 255)) == 0


def test_targets_of_every_int():
    scores = np.random.default_rng(0).normal(size=(3, 4))
    expected = nn.CrossEntropyLoss()(scores, np.array([3, 0, 1]))
    for kind in "bBhHiIlLqQ":
        assert nn.CrossEntropyLoss()(scores, np.array([3, 0, 1], kind)) == expected
    assert nn.CrossEntropyLoss()(scores, [3, 0, 1]) == expected


def test_mse_is_its_definition(isa):
    rng = np.random.default_rng(0)
    for shape in (), (1,), (7, 3), (2, 3, 40, 45), (20000,):
        for dtype, tolerance in (np.float32, 1e-5), (np.float64, 1e-12):
            x, target = rng.normal(size=(2, *shape)).astype(dtype)
            difference = (x - target).astype(np.float64)
            loss = nn.MSELoss()
            assert loss(x, target) == pytest.approx(np.mean(difference**2), rel=tolerance)
            np.testing.assert_allclose(loss.backward(), 2 * difference / difference.size, rtol=2e-7, atol=1e-12)
            assert loss.backward().dtype == dtype and loss.backward().shape == shape and loss.correct is None
            assert nn.MSELoss("sum")(x, target) == pytest.approx(np.sum(difference**2), rel=tolerance)


def test_mse_takes_ints_and_float16():
    assert nn.MSELoss()(np.array([1, 2], np.float16), [2, 4]) == 2.5
    assert nn.MSELoss()(np.array([1, 2], np.float32), np.array([2, 4], np.int8)) == 2.5


# Gradients


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if math.prod(shape) < 100])
@pytest.mark.parametrize("kind", KINDS)
def test_cross_entropy_gradients_are_finite_differences(shape, kind):
    scores, target, ignore_index = problem(shape, kind)
    classes = shape[1] if len(shape) > 1 else shape[0]
    if kind == "ignored" and (np.asarray(target) == ignore_index).all():
        pytest.skip("nothing is left")
    for weighted, smoothing, reduction in itertools.product((False, True), (0.0, 0.2), ("mean", "sum")):
        weight = np.linspace(0.5, 2, classes) if weighted else None
        loss = nn.CrossEntropyLoss(weight, ignore_index, reduction, smoothing)
        loss(scores, target)
        gradient = loss.backward()
        numeric = numeric_gradient(lambda loss=loss: loss(scores, target), scores)
        np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_mse_gradient_is_finite_differences(reduction):
    x, target = np.random.default_rng(0).normal(size=(2, 3, 5))
    loss = nn.MSELoss(reduction)
    loss(x, target)
    gradient = loss.backward()
    np.testing.assert_allclose(gradient, numeric_gradient(lambda: loss(x, target), x), rtol=1e-6, atol=1e-8)


def test_inputs_are_not_modified_and_gradients_are_new():
    scores, target, _ = problem((2, 5, 2, 3), "probabilities")
    scores.flags.writeable = target.flags.writeable = False
    for loss in nn.CrossEntropyLoss(), nn.MSELoss():
        loss(scores, target)
        first = loss.backward()
        kept = first.copy()
        loss(-scores, target)
        assert loss.backward() is not first
        np.testing.assert_array_equal(first, kept)


def test_any_strides_and_byte_order():
    scores, target, _ = problem((2, 5, 2, 3), "classes")
    for loss, wanted in (
        (nn.CrossEntropyLoss(), target),
        (nn.CrossEntropyLoss(), np.abs(scores)),
        (nn.MSELoss(), -scores),
    ):
        expected = loss(scores, wanted)
        gradient = loss.backward()
        order = ">" + wanted.dtype.str[1:]
        assert loss(np.asfortranarray(scores).astype(">f8"), np.asfortranarray(wanted).astype(order)) == expected
        np.testing.assert_array_equal(loss.backward(), gradient)


@pytest.mark.parametrize("shape", [(5000, 7), (3, 5, 100, 101), (2, 1000, 9)])
def test_bits_do_not_depend_on_the_threads(shape):
    scores, target, _ = problem(shape, "classes", np.float32)
    weight = np.linspace(0.5, 2, shape[1])
    losses = nn.CrossEntropyLoss(weight, label_smoothing=0.1), nn.CrossEntropyLoss(), nn.MSELoss()
    for loss, wanted in zip(losses, (target, np.abs(scores), -scores), strict=True):
        results = []
        for threads in 1, 2, 5:
            with fc.threads(threads):
                results.append((loss(scores, wanted), loss.backward().tobytes(), loss.correct))
        assert results[0] == results[1] == results[2]


# PyTorch's opinion


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cross_entropy_options_equal_pytorch(torch, shape, kind, dtype):
    scores, target, ignore_index = problem(shape, kind, dtype)
    classes = shape[1] if len(shape) > 1 else shape[0]
    tolerance = 1e-5 if dtype == np.float32 else 1e-11
    for weighted, smoothing, reduction in itertools.product((False, True), (0.0, 0.1), ("mean", "sum")):
        weight = np.linspace(0.5, 2, classes).astype(dtype) if weighted else None
        tensor = torch.from_numpy(scores.copy()).requires_grad_()
        peer = torch.nn.CrossEntropyLoss(
            None if weight is None else torch.from_numpy(weight),
            ignore_index=ignore_index,
            reduction=reduction,
            label_smoothing=smoothing,
        )
        expected = peer(tensor, torch.from_numpy(np.asarray(target)))
        loss = nn.CrossEntropyLoss(weight, ignore_index, reduction, smoothing)
        assert loss(scores, target) == pytest.approx(expected.item(), rel=tolerance, nan_ok=True)
        if not math.isnan(expected.item()):
            expected.backward()
            np.testing.assert_allclose(loss.backward(), tensor.grad.numpy(), rtol=10 * tolerance, atol=tolerance)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_mse_equals_pytorch(torch, reduction):
    x, target = np.random.default_rng(0).normal(size=(2, 3, 5, 7))
    tensor = torch.from_numpy(x.copy()).requires_grad_()
    expected = torch.nn.MSELoss(reduction=reduction)(tensor, torch.from_numpy(target))
    expected.backward()
    loss = nn.MSELoss(reduction)
    assert loss(x, target) == pytest.approx(expected.item(), rel=1e-12)
    np.testing.assert_allclose(loss.backward(), tensor.grad.numpy(), rtol=1e-12)


# Bad arguments


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (
            ValueError,
            "reduction must be 'mean' or 'sum', got 'none': forward",
            lambda: nn.CrossEntropyLoss(reduction="none"),
        ),
        (ValueError, "reduction must be.*got 'none': forward", lambda: nn.MSELoss("none")),
        (ValueError, "reduction must be 'mean' or 'sum', got 'max'", lambda: nn.MSELoss("max")),
        (TypeError, "reduction must be 'mean' or 'sum', got None", lambda: nn.MSELoss(None)),
        (TypeError, "weight must be an array", lambda: nn.CrossEntropyLoss("ab")),
        (TypeError, "weight must hold real numbers", lambda: nn.CrossEntropyLoss([1j])),
        (ValueError, r"weight must have the shape \(classes,\), got \(1, 2\)", lambda: nn.CrossEntropyLoss([[1, 2]])),
        (TypeError, "ignore_index must be an int", lambda: nn.CrossEntropyLoss(ignore_index=1.5)),
        (ValueError, "ignore_index must be at most", lambda: nn.CrossEntropyLoss(ignore_index=2**63)),
        (ValueError, "label_smoothing must be from 0 to 1, got 1.5", lambda: nn.CrossEntropyLoss(label_smoothing=1.5)),
        (ValueError, "label_smoothing.*-0.1", lambda: nn.CrossEntropyLoss(label_smoothing=-0.1)),
        (ValueError, "weight.*4 classes, got 3", lambda: nn.CrossEntropyLoss([1, 2, 3])(np.zeros((1, 4)), [0])),
        (
            ValueError,
            "from 0 to 3 or ignore_index 255, got 4",
            lambda: nn.CrossEntropyLoss(ignore_index=255)(np.zeros((2, 4)), [255, 4]),
        ),
        (TypeError, "probabilities.*got int64", lambda: nn.CrossEntropyLoss()(np.zeros((2, 3)), np.zeros((2, 3), int))),
        (
            ValueError,
            "ignore_index 1 .*got probabilities",
            lambda: nn.CrossEntropyLoss(ignore_index=1)(np.zeros((2, 3)), np.zeros((2, 3))),
        ),
        (
            ValueError,
            "got 18446744073709551516",
            lambda: nn.CrossEntropyLoss()(np.zeros((1, 3)), np.uint64([2**64 - 100])),
        ),
        (ValueError, r"target must have the shape \(2,\), got \(3,\)", lambda: nn.MSELoss()(np.zeros(2), np.zeros(3))),
        (
            ValueError,
            "prediction must hold at least one element",
            lambda: nn.MSELoss()(np.zeros((0, 2)), np.zeros((0, 2))),
        ),
        (TypeError, "prediction must hold float", lambda: nn.MSELoss()([1, 2], [1, 2])),
        (TypeError, "target must hold real numbers", lambda: nn.MSELoss()([1.0, 2.0], [1j, 2])),
        (ValueError, "MSELoss.backward needs a forward pass", lambda: nn.MSELoss().backward()),
    ],
)
def test_bad_arguments(error, message, call):
    with pytest.raises(error, match=message):
        call()


def test_an_error_leaves_the_last_gradient():
    loss = nn.CrossEntropyLoss()
    loss(np.zeros((1, 2)), [0])
    before = loss.backward().copy()
    with pytest.raises(ValueError):
        loss(np.zeros((1, 2)), [2])
    np.testing.assert_array_equal(loss.backward(), before)


def test_repr():
    assert repr(nn.CrossEntropyLoss()) == "CrossEntropyLoss()" and repr(nn.MSELoss("sum")) == "MSELoss(reduction='sum')"
    loss = nn.CrossEntropyLoss([1, 2], 255, "sum", 0.1)
    assert repr(loss) == "CrossEntropyLoss(weight=[1.0, 2.0], ignore_index=255, reduction='sum', label_smoothing=0.1)"


@pytest.mark.parametrize("shape", [(4, 3), (1, 1), (2, 3, 4), (2, 5, 2, 3)])
def test_cross_entropy_gradient_is_finite_differences(shape):
    rng = np.random.default_rng(4)
    loss, prediction = nn.CrossEntropyLoss(), rng.normal(size=shape)
    target = rng.integers(shape[1], size=shape[:1] + shape[2:])
    loss.forward(prediction, target)
    gradient = loss.backward().copy()
    expected = numeric_gradient(lambda: loss.forward(prediction, target), prediction)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("shape", [(4, 3), (2, 5, 2, 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cross_entropy_equals_pytorch(shape, dtype, torch):
    rng = np.random.default_rng(4)
    prediction = (30 * rng.normal(size=shape)).astype(dtype)
    target = rng.integers(shape[1], size=shape[:1] + shape[2:])
    tensor = torch.from_numpy(prediction).requires_grad_()
    expected = torch.nn.CrossEntropyLoss()(tensor, torch.from_numpy(target))
    expected.backward()
    loss = nn.CrossEntropyLoss()
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    for kind in (np.int64, np.uint8, np.int32):
        assert loss.forward(prediction, target.astype(kind)) == pytest.approx(expected.item(), rel=tolerance)
        np.testing.assert_allclose(loss.backward(), tensor.grad.numpy(), rtol=10 * tolerance, atol=tolerance)
    assert loss.backward().dtype == dtype


def test_loss_backward_before_forward():
    with pytest.raises(ValueError, match="CrossEntropyLoss.backward needs a forward pass"):
        nn.CrossEntropyLoss().backward()


@pytest.mark.parametrize(
    "prediction, target, error, message",
    [
        (np.zeros((2, 3)), [0, 3], ValueError, "target must hold class indices from 0 to 2, got 3"),
        (np.zeros((2, 3)), [-1, 0], ValueError, "target must hold class indices from 0 to 2, got -1"),
        (np.zeros((2, 3)), [0.0, 1.0], TypeError, "target must hold ints.*float64"),
        (np.zeros((2, 3)), [True, False], TypeError, "target must hold ints.*bool"),
        (np.zeros((2, 3)), [0], ValueError, r"target must have the shape \(2,\), of classes, or.*got \(1,\)"),
        (np.zeros((2, 3)), [[0], [1]], ValueError, "target must have the shape"),
        (np.zeros((2, 3, 4)), [0, 1], ValueError, r"target must have the shape \(2, 4\)"),
        (np.zeros((2, 3)), "ab", TypeError, "target must be an array of numbers"),
        (np.zeros(3), [0], ValueError, r"target must have the shape \(\), of classes, or \(3,\)"),
        (np.float64(3), 0, ValueError, r"prediction must be \[N, classes, ...\]"),
        (np.zeros((0, 3)), [], ValueError, "prediction"),
        (np.zeros((2, 3), int), [0, 1], TypeError, "prediction must hold float"),
        (np.zeros((2, 3)), np.array([0, 2**63], np.uint64), ValueError, "target must hold class indices"),
    ],
)
def test_bad_targets(prediction, target, error, message):
    with pytest.raises(error, match=message):
        nn.CrossEntropyLoss().forward(prediction, target)


def test_weight_is_read_as_it_is_now():
    # whatever was put there: the engine reads float64, one for each class
    scores, target = np.array([[1.0, 2.0, 3.0]], np.float32), np.array([1])
    loss = nn.CrossEntropyLoss(weight=[1.0, 1.0, 1.0], reduction="sum")
    for weight in np.array([0.25, 0.5, 0.25], np.float32), [0.25, 0.5, 0.25], np.array([0.25, 0, 0.5, 0, 0.25])[::2]:
        loss.weight = weight
        wanted = weight[1] * (np.log(np.exp(scores[0]).sum()) - scores[0, 1])
        assert loss(scores, target) == pytest.approx(wanted, rel=1e-6)
    loss.weight = np.ones((3, 1))
    with pytest.raises(ValueError, match="weight must have the shape"):
        loss(scores, target)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_large_scores_lose_nothing(smoothing):
    # log(sum) + largest - score would: 1e17 swallows the logarithm
    scores = np.full((1, 3), 1e17)
    for dtype, target in itertools.product((np.float32, np.float64), (np.array([1]), np.array([[0.5, 0.25, 0.25]]))):
        loss = nn.CrossEntropyLoss(label_smoothing=smoothing)
        assert loss(scores.astype(dtype), target) == pytest.approx(np.log(3), rel=1e-6)
