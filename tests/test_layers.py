"""Every layer of `layer_cases`: finite differences and PyTorch, in every mode, dtype and instruction set, on any number
of threads; and every wrong argument."""

from __future__ import annotations

import copy
import inspect
import math
import pickle
import re
import warnings

import numpy as np
import pytest
from layer_cases import (
    CASES,
    KINDS,
    assert_near,
    assert_same_bits,
    in_double,
    normal,
    pass_through,
    run,
    spread,
    tolerances,
    torch_twin,
)

import fastconv as fc
from fastconv import nn
from fastconv.nn.layers import inference

INF, NAN = math.inf, math.nan

EVERY = pytest.mark.parametrize("case", CASES, ids=str)
IN_BOTH_MODES = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
IN_BOTH_DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def numeric_gradient(function, array, step=1e-6):
    """Central differences of a scalar function by `array`, which is changed in place and restored."""
    gradient = np.empty_like(array)
    for index in np.ndindex(array.shape):
        before = array[index]
        array[index] = before + step
        above = function()
        array[index] = before - step
        below = function()
        array[index] = before
        gradient[index] = (above - below) / (2 * step)
    return gradient


# Every layer


def test_every_layer_has_a_case():
    assert {case.kind for case in CASES} == set(KINDS)
    assert {case.kind for case in CASES if case.large} | {"Identity", "Flatten"} == set(KINDS)


@EVERY
@IN_BOTH_MODES
def test_gradients_are_finite_differences(case, training, isa):
    layer = case.make(training=training)
    x = spread(case.shape)
    dy = normal(run(layer, x).shape)
    found = pass_through(layer, x, dy)
    assert layer.grads.keys() == layer.params.keys()

    def projection():
        return float((run(layer, x) * dy).sum())

    arrays = {"dx": x, **layer.params}
    for name, array in arrays.items():
        assert found[name].shape == array.shape and found[name].dtype == array.dtype
        numeric = numeric_gradient(projection, array)
        np.testing.assert_allclose(found[name], numeric, rtol=2e-6, atol=2e-7 * max(1, np.abs(x).max()), err_msg=name)


@EVERY
@IN_BOTH_MODES
def test_float32_is_float64_rounded(case, training, isa):
    layer = case.make(np.float32, training)
    x = spread(case.shape, np.float32)
    dy = normal(run(layer, x).shape, np.float32)
    found = pass_through(layer, x, dy)
    assert all(value.dtype == np.float32 for value in found.values())
    wide_x, wide_dy = x.astype(np.float64), dy.astype(np.float64)
    expected = pass_through(in_double(case.make(np.float32, training)), wide_x, wide_dy)
    assert_near(found, expected, tolerances(in_double(layer), wide_x, wide_dy, expected, np.float32))


def not_in_torch(case):
    return case.kind in ("LocallyConnected2d", "Dropout") or case.options.get("padding") == ((1, 0), (0, 2))


@pytest.mark.parametrize("case", [case for case in CASES if not not_in_torch(case)], ids=str)
@IN_BOTH_MODES
@IN_BOTH_DTYPES
def test_layer_equals_pytorch(case, training, dtype, isa, torch):
    layer = case.make(dtype, training)
    wide = in_double(layer)
    x = spread(case.shape, dtype)
    tensor = torch.from_numpy(x.astype(np.float64)).requires_grad_()
    twin = torch_twin(case, wide, torch)
    output = twin(tensor)
    dy = normal(tuple(output.shape), dtype)
    output.backward(torch.from_numpy(dy.astype(np.float64)))
    expected = {"y": output.detach().numpy(), "dx": tensor.grad.numpy()}
    expected |= {name: parameter.grad.numpy() for name, parameter in twin.named_parameters()}
    found = pass_through(layer, x, dy)
    assert_near(found, expected, tolerances(wide, x.astype(np.float64), dy.astype(np.float64), expected, dtype))
    for name, buffer in twin.named_buffers():
        assert layer.buffers[name].shape == tuple(buffer.shape)
        np.testing.assert_allclose(layer.buffers[name], buffer.numpy(), rtol=4 * np.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("case", [case for case in CASES if case.large], ids=str)
@IN_BOTH_DTYPES
def test_bits_do_not_depend_on_the_threads(case, dtype, isa):
    x = normal(case.large, dtype)
    results = []
    for threads in 1, 2, 5:
        layer = case.make(dtype)
        with fc.threads(threads):
            results.append({**pass_through(layer, x), **layer.buffers})
    assert_same_bits(results[1], results[0])
    assert_same_bits(results[2], results[0])


@EVERY
@IN_BOTH_MODES
def test_without_input_gradient_the_rest_is_the_same(case, training):
    layer = case.make(training=training)
    y = run(layer, spread(case.shape))
    layer.backward(y)
    grads = {name: array.copy() for name, array in layer.grads.items()}
    layer.backward(y, input_gradient=False)
    assert_same_bits(layer.grads, grads)


@EVERY
@IN_BOTH_MODES
def test_frozen_layer_computes_only_the_input_gradient(case, training):
    layer = case.make(training=training)
    y = run(layer, spread(case.shape))
    dx = layer.backward(y)
    layer.requires_grad = False
    np.testing.assert_array_equal(layer.backward(y), dx)
    assert layer.grads == {}
    layer.backward(y, input_gradient=False)
    assert layer.grads == {}


def without_batch(case):
    """Whether the case's input has no batch, so that one of 0 comes in front."""
    spatial = {"1d": 1, "2d": 2, "3d": 3}.get(case.kind[-2:])
    return case.kind[:-2] != "BatchNorm" and spatial is not None and len(case.shape) == spatial + 1


@EVERY
@IN_BOTH_MODES
@IN_BOTH_DTYPES
def test_batch_of_zero(case, training, dtype):
    layer = case.make(dtype, training)
    x = np.zeros((0, *case.shape[not without_batch(case) :]), dtype)
    if case.kind == "Linear":
        x = np.zeros((0, *case.shape), dtype)
    if case.kind == "Upsample":
        x = np.zeros((0, *case.shape[1:]), dtype)
    y = run(layer, x)
    assert y.size == 0 and y.dtype == dtype
    dx = layer.backward(y)
    assert dx.shape == x.shape and dx.dtype == dtype
    assert all(not gradient.any() for gradient in layer.grads.values())
    for name in ("running_mean", "running_var"):  # an empty batch tells nothing
        if name in layer.buffers:
            np.testing.assert_array_equal(layer.buffers[name], case.make(dtype).buffers[name])


@EVERY
@IN_BOTH_MODES
def test_input_and_gradient_are_not_modified(case, training):
    layer = case.make(training=training)
    x = spread(case.shape)
    dy = normal(run(layer, x).shape)
    x.flags.writeable = dy.flags.writeable = False
    before = x.copy(), dy.copy()
    pass_through(layer, x, dy)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(dy, before[1])


def unaligned(array):
    """A contiguous copy a byte beyond where its elements belong."""
    room = np.empty(array.nbytes + 1, np.uint8)
    copied = room[1:].view(array.dtype).reshape(array.shape)
    copied[...] = array
    return copied


@EVERY
@IN_BOTH_MODES
@pytest.mark.parametrize("change", [np.asfortranarray, lambda array: array.astype(">f8"), unaligned])
def test_any_strides_alignment_and_byte_order(case, training, change):
    layer = case.make(training=training)
    x = spread(case.shape)
    dy = normal(run(layer, x).shape)
    expected = pass_through(case.make(training=training), x, dy)
    found = pass_through(case.make(training=training), change(x), change(dy))
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-12, atol=1e-12, err_msg=name)


@EVERY
def test_float16_and_other_inputs(case):
    layer = case.make(np.float32)
    half = np.clip(spread(case.shape), -100, 100).astype(np.float16)
    y = run(layer, half)
    if layer.params or layer.buffers or case.kind.startswith("BatchNorm"):
        assert y.dtype == np.float32
        np.testing.assert_array_equal(y, run(case.make(np.float32), half.astype(np.float32)))
        assert run(case.make(np.float32), half.astype(int)).dtype == np.float32
    else:
        assert y.dtype == np.float16
        dx = layer.backward(np.ones(y.shape, np.float16))
        assert dx.dtype == np.float16 and np.isfinite(dx).all()
        with np.errstate(over="ignore"):
            wide = run(case.make(np.float32), half.astype(np.float32)).astype(np.float16)
        np.testing.assert_array_equal(y, wide)


@EVERY
def test_copies_go_their_own_way(case):
    layer = case.make()
    x = spread(case.shape)
    expected = {**pass_through(layer, x), **{name: array.copy() for name, array in layer.buffers.items()}}
    for twin in copy.deepcopy(case.make()), pickle.loads(pickle.dumps(case.make())):
        assert repr(twin) == repr(layer)
        assert_same_bits({**pass_through(twin, x), **twin.buffers}, expected)


@EVERY
@IN_BOTH_MODES
def test_inference_keeps_nothing_in_any_mode(case, training):
    layer = case.make(training=training)
    x = spread(case.shape)
    expected = run(case.make(training=False), x)
    before = {name: array.copy() for name, array in layer.buffers.items()}
    with inference():
        y = run(layer, x)
    np.testing.assert_array_equal(y, expected)
    assert_same_bits(layer.buffers, before)
    assert layer.training == training
    with pytest.raises(ValueError, match=f"{case.kind}.backward needs a forward pass"):
        layer.backward(y)
    run(layer, x)
    layer.forget()
    with pytest.raises(ValueError, match="forward pass"):
        layer.backward(y)


class Elsewhere:
    """An array whose memory cannot be had."""

    def __dlpack__(self, **options):
        raise BufferError("it is on another device")

    def __dlpack_device__(self):
        return 1, 0


@EVERY
def test_bad_arrays(case):
    layer = case.make()
    x = spread(case.shape)
    y = run(layer, x)
    for wrong in None, "text", object(), np.array(["a"]), Elsewhere():
        with pytest.raises(TypeError, match="x|input"):
            layer(wrong)
        with pytest.raises(TypeError, match="dy|grad_output"):
            layer.backward(wrong)
    if case.kind not in ("Identity", "Flatten"):
        with pytest.raises(TypeError, match="complex128"):
            layer(np.ones(case.shape, complex))
    for shape in (*y.shape, 2), (*y.shape, 1):
        with pytest.raises(ValueError, match="dy|grad_output"):
            layer.backward(np.ones(shape))
    with pytest.raises(ValueError, match="dy|grad_output"):
        layer.backward(np.ones(y.size + 1))
    run(layer, x)
    layer.backward(y)  # none of it did harm


@EVERY
def test_repr_is_pytorchs(case, torch):
    if not_in_torch(case) and case.kind != "Dropout":
        pytest.skip("PyTorch has no such layer")
    expected = repr(getattr(torch.nn, case.kind)(*case.arguments, **case.options))
    if case.kind == "AvgPool1d":  # PyTorch writes (2,)
        expected = re.sub(r"\((\d),\)", r"\1", expected)
    assert repr(case.make()) == expected.replace(", inplace=False", "")


def test_repr_of_what_pytorch_has_not():
    arguments = "2, 3, kernel_size=(1, 4), stride=(2, 2), padding=(1, 1), input_size=(4, 6), bias=False"
    assert repr(nn.LocallyConnected2d(2, 3, (4, 6), (1, 4), 2, 1, False)) == f"LocallyConnected2d({arguments})"
    asymmetric = nn.Conv2d(3, 2, 2, padding=((1, 0), (0, 2)))
    assert repr(asymmetric) == "Conv2d(3, 2, kernel_size=(2, 2), stride=(1, 1), padding=((1, 0), (0, 2)))"


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"LocallyConnected2d", "Sigmoid", "Tanh", "Identity"}))
def test_constructors_take_pytorchs_arguments(kind, torch):
    """The names in their order, and the defaults; PyTorch's Sigmoid and Tanh take anything."""

    def arguments(layer_class, without):
        parameters = list(inspect.signature(layer_class).parameters.values())
        return [(p.name, p.default) for p in parameters if p.name not in without]

    expected = arguments(getattr(torch.nn, kind), ("device", "dtype", "inplace"))
    found = arguments(getattr(nn, kind), ("dtype", "rng"))
    assert found == expected
    for parameter in inspect.signature(getattr(nn, kind)).parameters.values():
        if parameter.name in ("dtype", "rng"):
            assert parameter.kind is parameter.KEYWORD_ONLY


# What a summary needs


@pytest.mark.parametrize(
    "layer, shape, multiply_adds, window",
    [
        (nn.Conv2d(4, 6, (3, 5), 2, groups=2, dilation=(1, 2)), (3, 4, 9, 20), 3 * 4 * 6 * 6 * 2 * 15,
         ((3, 5), (2, 2), (1, 2))),
        (nn.Conv1d(2, 3, 4), (1, 2, 9), 6 * 2 * 3 * 4, ((4,), (1,), (1,))),
        (nn.ConvTranspose2d(3, 2, 4, 2), (2, 3, 5, 6), 2 * 30 * 3 * 2 * 16, None),
        (nn.LocallyConnected2d(2, 3, (4, 5), 3), (7, 2, 4, 5), 7 * 6 * 3 * 18, ((3, 3), (1, 1), (1, 1))),
        (nn.Linear(5, 4), (3, 2, 5), 6 * 20, None),
        (nn.MaxPool2d(3, 2, dilation=2), (1, 1, 9, 9), 0, ((3, 3), (2, 2), (2, 2))),
        (nn.AvgPool3d(2), (1, 1, 4, 4, 4), 0, ((2, 2, 2), (2, 2, 2), (1, 1, 1))),
        (nn.AdaptiveAvgPool2d(1), (1, 1, 4, 4), 0, None),
        (nn.BatchNorm2d(2), (1, 2, 4, 4), 0, None),
        (nn.ReLU(), (1, 2), 0, None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Layer) else "",
)  # fmt: skip
def test_multiply_adds_and_windows(layer, shape, multiply_adds, window):
    output = layer(np.zeros(shape, np.float32))
    assert layer.multiply_adds(shape, output.shape) == multiply_adds
    assert layer.window() == window


# Bad arguments


BAD_ARGUMENTS = [
    (TypeError, "in_channels must be an int, got '3'", lambda: nn.Conv1d("3", 8, 3)),
    (ValueError, "kernel_size must be an int or 1 ints", lambda: nn.Conv1d(3, 8, (3, 3))),
    (ValueError, "kernel_size must be an int or 3 ints", lambda: nn.Conv3d(3, 8, (3, 3))),
    (ValueError, r"padding must be one \(before, after\) pair a dim.*, 3", lambda: nn.Conv3d(3, 8, 3, 1, ((1, 2),))),
    (ValueError, "padding_mode must be 'zeros'.*'circular'", lambda: nn.Conv3d(3, 8, 3, padding_mode="circular")),
    (ValueError, "groups must divide out_channels, 8, got 3", lambda: nn.ConvTranspose1d(3, 8, 3, groups=3)),
    (TypeError, "padding must be an int or 2 ints, got 'same'", lambda: nn.ConvTranspose2d(3, 8, 3, padding="same")),
    (ValueError, r"output_padding must be below the stride or the dilation, got \(1, 1\) with the stride \(1, 1\)",
     lambda: nn.ConvTranspose2d(3, 8, 3, output_padding=1)),
    (ValueError, "output_padding must be at least 0, got -1", lambda: nn.ConvTranspose3d(3, 8, 3, output_padding=-1)),
    (ValueError, "padding_mode", lambda: nn.ConvTranspose2d(3, 8, 3, padding_mode="reflect")),
    (TypeError, "dtype must be float32 or float64, got int64", lambda: nn.ConvTranspose2d(3, 8, 3, dtype=int)),
    (TypeError, "rng must be", lambda: nn.ConvTranspose2d(3, 8, 3, rng="seed")),
    (TypeError, "input_size must be an int or 2 ints, got None", lambda: nn.LocallyConnected2d(3, 8, None, 3)),
    (ValueError, r"input_size\[1\] must be at least 1, got 0", lambda: nn.LocallyConnected2d(3, 8, (4, 0), 3)),
    (ValueError, "kernel_size: expected a kernel that fits.* of 4, got 5", lambda: nn.LocallyConnected2d(3, 8, 4, 5)),
    (ValueError, "padding 'same' needs a stride of 1", lambda: nn.LocallyConnected2d(3, 8, 4, 3, 2, "same")),
    (TypeError, "bias must be True or False, got 1", lambda: nn.LocallyConnected2d(3, 8, 4, 3, bias=1)),
    (TypeError, "kernel_size must be an int or 1 ints, got '2'", lambda: nn.MaxPool1d("2")),
    (ValueError, "stride must be at least 1, got 0", lambda: nn.MaxPool3d(2, 0)),
    (ValueError, "dilation must be at least 1, got 0", lambda: nn.MaxPool1d(2, dilation=0)),
    (TypeError, "return_indices must be True or False", lambda: nn.MaxPool3d(2, return_indices=1)),
    (TypeError, "count_include_pad must be True or False", lambda: nn.AvgPool1d(2, count_include_pad="no")),
    (TypeError, "divisor_override", lambda: nn.AvgPool1d(2, divisor_override=2)),
    (ValueError, "divisor_override must not be 0", lambda: nn.AvgPool3d(2, divisor_override=0)),
    (TypeError, "output_size must be an int or 2 ints, got None", lambda: nn.AdaptiveAvgPool2d(None)),
    (ValueError, "output_size must be an int or 2 ints", lambda: nn.AdaptiveAvgPool2d((1, 2, 3))),
    (ValueError, r"output_size\[0\] must be at least 1, got 0", lambda: nn.AdaptiveMaxPool2d((0, 2))),
    (TypeError, r"output_size\[0\] must be an int, got None", lambda: nn.AdaptiveAvgPool1d((None,))),
    (TypeError, r"output_size\[1\] must be an int, got 2.5", lambda: nn.AdaptiveAvgPool3d((1, 2.5, 3))),
    (TypeError, "return_indices must be True or False", lambda: nn.AdaptiveMaxPool2d(2, None)),
    (ValueError, "num_features must be at least 1, got 0", lambda: nn.BatchNorm1d(0)),
    (TypeError, "num_features must be an int, got 3.0", lambda: nn.BatchNorm2d(3.0)),
    (ValueError, "eps must be a finite number of at least 0, got -1", lambda: nn.BatchNorm2d(3, -1)),
    (ValueError, "momentum must be a finite number, got nan", lambda: nn.BatchNorm2d(3, momentum=NAN)),
    (TypeError, "momentum must be a number, got 'none'", lambda: nn.BatchNorm2d(3, momentum="none")),
    (TypeError, "affine must be True or False, got 1", lambda: nn.BatchNorm3d(3, affine=1)),
    (TypeError, "track_running_stats must be True or False", lambda: nn.BatchNorm3d(3, track_running_stats=None)),
    (TypeError, "bias must be True or False", lambda: nn.BatchNorm3d(3, bias="yes")),
    (TypeError, "dtype must be float32 or float64, got float16", lambda: nn.BatchNorm2d(3, dtype=np.float16)),
    (ValueError, "p must be a finite number of at least 0, got -0.1", lambda: nn.Dropout(-0.1)),
    (ValueError, "p must be a probability, at most 1, got 1.5", lambda: nn.Dropout(1.5)),
    (TypeError, "p must be a number, got None", lambda: nn.Dropout(None)),
    (TypeError, "rng must be", lambda: nn.Dropout(rng="seed")),
    (ValueError, "negative_slope must be a finite number, got inf", lambda: nn.LeakyReLU(INF)),
    (TypeError, "negative_slope must be a number, got True", lambda: nn.LeakyReLU(True)),
    (TypeError, "dim must be an int, got 'last'", lambda: nn.Softmax("last")),
    (TypeError, "start_dim must be an int", lambda: nn.Flatten("1")),
    (ValueError, "mode must be one of nearest, linear.*got 'area'", lambda: nn.Upsample(2, mode="area")),
    (TypeError, "mode must be a string.*got 3", lambda: nn.Upsample(2, mode=3)),
    (ValueError, "exactly one of size and scale_factor must be given, got None and None", lambda: nn.Upsample()),
    (ValueError, "exactly one of size and scale_factor must be given, got 2 and 3", lambda: nn.Upsample(2, 3)),
    (ValueError, "size must be at least 1, got 0", lambda: nn.Upsample(0)),
    (TypeError, r"size\[1\] must be an int, got 2.5", lambda: nn.Upsample((2, 2.5))),
    (ValueError, "size must be a number or one a spatial dimension", lambda: nn.Upsample((2, 2, 2, 2))),
    (ValueError, "scale_factor must be above 0, got 0", lambda: nn.Upsample(scale_factor=0)),
    (ValueError, r"scale_factor\[1\] must be a finite number.*got inf", lambda: nn.Upsample(scale_factor=(1, INF))),
    (TypeError, "scale_factor must be a number, got 'two'", lambda: nn.Upsample(scale_factor="two")),
    (TypeError, "align_corners must be True or False", lambda: nn.Upsample(2, mode="linear", align_corners=1)),
    (ValueError, "align_corners is for the modes that interp.*got False", lambda: nn.Upsample(2, align_corners=False)),
    (TypeError, "recompute_scale_factor must be True or False", lambda: nn.Upsample(None, 2, recompute_scale_factor=1)),
    (TypeError, r"dtype must be float32 or float64, got '\(2,3'", lambda: nn.Conv2d(3, 8, 3, dtype="(2,3")),
    (ValueError, "in_channels must be at most .*, got an integer of", lambda: nn.Conv2d(10**5000, 8, 3)),
    (ValueError, r"kernel_size\[0\] must be at least 1, got an integer of", lambda: nn.Conv2d(3, 8, (-(10**5000), 3))),
    (ValueError, "in_channels, out_channels and kernel_size must", lambda: nn.ConvTranspose2d(2**31, 2**31, 3)),
    (ValueError, "input_size and kernel_size must make", lambda: nn.LocallyConnected2d(1, 2**40, 2**12, 1)),
    (ValueError, "in_features and out_features must make .*got the shape", lambda: nn.Linear(10**10, 10**10)),
    (ValueError, "num_features: expected", lambda: nn.BatchNorm2d(2**62)),
    (ValueError, "negative_slope must be a finite number, got an integer of", lambda: nn.LeakyReLU(10**400)),
    (ValueError, "recompute_scale_factor needs a scale_factor", lambda: nn.Upsample(2, recompute_scale_factor=True)),
]  # fmt: skip


@pytest.mark.parametrize("error, message, call", BAD_ARGUMENTS, ids=range(len(BAD_ARGUMENTS)))
def test_bad_arguments(error, message, call):
    with pytest.raises(error, match=message):
        call()


def test_no_dtype_is_the_default():
    for layer in nn.Linear(2, 1, dtype=None), nn.ConvTranspose1d(2, 1, 3, dtype=None), nn.BatchNorm1d(2, dtype=None):
        assert {array.dtype for array in layer.params.values()} == {np.dtype(np.float32)}
    assert nn.init.zeros(3, dtype=None).dtype == np.float32


BAD_INPUTS = [
    (nn.Conv1d(3, 8, 3), (1, 4, 8), "weight: expected 4 input channels"),
    (nn.Conv3d(3, 8, 3), (1, 3, 8, 8), "weight|input"),
    (nn.ConvTranspose2d(3, 8, 3), (1, 4, 8, 8), "weight: expected 4 input channels"),
    (nn.ConvTranspose1d(3, 8, 3, padding=4), (1, 3, 2), "padding: expected less than"),
    (nn.LocallyConnected2d(2, 3, (4, 5), 3), (1, 2, 5, 4), r"x must have the shape \[N, 2, 4, 5\].*got \(1, 2, 5, 4\)"),
    (nn.LocallyConnected2d(2, 3, (4, 5), 3), (2, 4), r"x must have the shape \[N, 2, 4, 5\]"),
    (nn.AdaptiveAvgPool2d(2), (3, 4), "input: expected 4 dimensions"),
    (nn.BatchNorm1d(3), (3,), r"x must have the shape \[N, 3\] or \[N, 3, L\], got \(3,\)"),
    (nn.BatchNorm1d(3), (3, 3, 3, 3), r"x must have the shape \[N, 3\] or \[N, 3, L\]"),
    (nn.BatchNorm2d(3), (2, 3, 4), r"x must have the shape \[N, 3, H, W\], got \(2, 3, 4\)"),
    (nn.BatchNorm2d(3), (2, 4, 4, 4), r"x must have the shape \[N, 3, H, W\], got \(2, 4, 4, 4\)"),
    (nn.BatchNorm3d(3), (2, 3, 4, 4), r"x must have the shape \[N, 3, D, H, W\]"),
    (nn.BatchNorm1d(3), (1, 3), r"x must have more than one value a channel in training, got the shape \(1, 3\)"),
    (nn.BatchNorm1d(3, track_running_stats=False).eval(), (1, 3), "more than one value a channel"),
    (nn.BatchNorm2d(3), (1, 3, 1, 1), "more than one value a channel"),
    (nn.Softmax(2), (3, 4), r"x must have the dimension dim=2, got the shape \(3, 4\)"),
    (nn.Softmax(-3), (3, 4), "x must have the dimension dim=-3"),
    (nn.Softmax(1), (), "x must have the dimension dim=1"),
    (nn.Upsample(2), (3, 4), "x must be .* of 3 or 4 or 5 dimensions for the mode 'nearest'"),
    (nn.Upsample(2, mode="linear"), (1, 1, 3, 4), "x must be .* of 3 dimensions for the mode 'linear'"),
    (nn.Upsample(2, mode="bicubic"), (1, 1, 4), "x must be .* of 4 dimensions"),
    (nn.Upsample(2, mode="trilinear"), (1, 1, 4, 4), "x must be .* of 5 dimensions"),
    (nn.Upsample(2), (1, 1, 0), "none of the spatial ones 0"),
    (nn.Upsample((2, 3)), (1, 1, 4), r"size must have one number a spatial dimension of x, 1, got \(2, 3\)"),
    (nn.Upsample(scale_factor=(2, 3)), (1, 1, 4), "scale_factor must have one number a spatial dimension"),
    (nn.Upsample(scale_factor=0.1), (1, 1, 4), r"scale_factor must leave at least one element, got 0.1 of \(4,\)"),
    (nn.Upsample(2**62), (1, 1, 4, 4), "size: expected a product of sizes that fits"),
    (nn.Upsample(scale_factor=1e308), (1, 1, 99), "scale_factor: expected a product of sizes that fits"),
    (nn.Flatten(2, 1), (3, 3, 3), "x must have the dimensions start_dim=2 to end_dim=1"),
]  # fmt: skip


@pytest.mark.parametrize("layer, shape, message", BAD_INPUTS, ids=range(len(BAD_INPUTS)))
def test_bad_inputs(layer, shape, message):
    state = {name: array.copy() for name, array in layer.buffers.items()}
    with pytest.raises(ValueError, match=message):
        layer(np.ones(shape, np.float32))
    assert_same_bits(layer.buffers, state)
    with pytest.raises(ValueError, match="forward pass"):
        layer.backward(np.ones(shape, np.float32))


@pytest.mark.parametrize(
    "size, error, message",
    [
        ((20, 9), ValueError, r"output_size must lie from \(9, 9\) to \(10, 10\)"),
        ((9,), ValueError, "output_size must have 2 or 4 numbers"),
        ((8, 9), ValueError, "output_size must lie"),
        ("99", TypeError, "output_size must be an int"),
        ((9, None), TypeError, r"output_size\[1\] must be an int"),
    ],
)
def test_bad_output_sizes(size, error, message):
    with pytest.raises(error, match=message):
        nn.ConvTranspose2d(3, 8, 3, 2, 1)(np.ones((1, 3, 5, 5), np.float32), output_size=size)


@pytest.mark.parametrize("kind", ["ReLU", "LeakyReLU", "Sigmoid", "Dropout", "Upsample"])
def test_integers_are_refused_where_there_is_no_dtype_to_take(kind):
    layer = nn.Upsample(2) if kind == "Upsample" else getattr(nn, kind)()
    with pytest.raises(TypeError, match="x must hold float16, float32 or float64, got int64"):
        layer(np.ones((1, 1, 4), np.int64))


def test_no_layer_warns():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for each in CASES:
            with np.errstate(all="raise"):
                pass_through(each.make(), spread(each.shape))
