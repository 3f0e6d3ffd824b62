"""The self-test: it finds nothing where all is well, finds errors that are planted, and leaves nothing out."""

import inspect
import io
import re

import numpy as np
import pytest

import fastconv as fc
from fastconv import grad, reference, runtime, selftest


def run(pattern, problems=2, **options):
    """Return the report and the lines that were written."""
    stream = io.StringIO()
    report = selftest.run(pattern, problems, stream=stream, **options)
    return report, stream.getvalue().splitlines()


def test_every_function_and_gradient_is_in_it():
    computing = {name for name in fc.__all__ if re.search(r"\dd$|fold$", name)}
    assert {*selftest.functions()} == computing
    ends = [
        gradient.removeprefix(f"{name}_")
        for gradient in grad.__all__
        for name in computing
        if gradient.startswith(f"{name}_")
    ]
    assert len(ends) == len(grad.__all__) and {*ends} <= {*selftest._ARGUMENTS}
    assert all(hasattr(reference, gradient) for gradient in grad.__all__)


def test_all_is_well():
    report, lines = run("*")
    assert report.passed and report.failures == []
    assert lines[0].split() == ["function", *runtime.available_isas(), "largest", "error", "/", "allowed"]
    written = {line.split()[0]: line.split()[1:-1] for line in lines[1 : 1 + len(selftest.functions())]}
    assert [*written] == selftest.functions()
    assert all(len({*counts}) == 1 and int(counts[0]) > 0 for counts in written.values())
    assert sum(report.checks.values()) == sum(int(count) for counts in written.values() for count in counts)
    assert re.fullmatch(rf"fastconv .*: all {sum(report.checks.values())} checks passed in \d+ s", lines[-1])


def test_every_algorithm_runs_everywhere():
    report, lines = run("conv2d", problems=10)
    for algorithm in ("auto", *fc.algorithms()):
        for isa in runtime.available_isas():
            assert report.algorithms[algorithm, isa] > 0, (algorithm, isa)
        assert any(line.startswith(f"{algorithm} ") for line in lines)


def test_the_seed_draws_the_problems():
    drawn = [
        [str(check.problem) for check in selftest._checks("conv2d", np.random.default_rng(s), 2, False)]
        for s in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


# ---- planted errors


def wrong_in_one_place(function):
    def wrapped(*arguments, **options):
        result = function(*arguments, **options)
        (result[0] if isinstance(result, tuple) else result).flat[-1] += 0.05
        return result

    return wrapped


@pytest.mark.parametrize(
    "module, name", [(fc, "conv1d"), (fc, "max_pool2d"), (grad, "avg_pool1d_backward"), (grad, "conv1d_weight")]
)
def test_one_wrong_number_is_found(monkeypatch, module, name):
    wrapped = wrong_in_one_place(getattr(module, name))
    wrapped.__signature__ = inspect.signature(getattr(module, name))  # which tells whether it has algorithms
    monkeypatch.setattr(module, name, wrapped)
    report, lines = run(name.partition("_b")[0].partition("_w")[0])
    assert not report.passed
    assert {failure.function for failure in report.failures} == {name}
    assert {failure.isa for failure in report.failures} == {*runtime.available_isas()}
    assert {failure.dtype for failure in report.failures} == {*selftest.DTYPES}
    assert {failure.layout for failure in report.failures} == {*selftest.LAYOUTS}
    found = re.search(r"largest error (\S+), allowed (\S+)", report.failures[0].message)
    assert float(found[1]) == pytest.approx(0.05, rel=0.1) and float(found[2]) < 0.01
    assert re.search(r"input \d+x\d+", report.failures[0].problem)
    assert re.search(r"\d+ FAILED$", lines[1])
    assert any(str(report.failures[0]) in line for line in lines)
    assert re.search(rf"{len(report.failures)} of \d+ checks failed", lines[-1])


def planted(monkeypatch, replacement, name="avg_pool1d"):
    """Return the messages of the failures where a function is replaced."""
    monkeypatch.setattr(fc, name, replacement(getattr(fc, name)))
    report, _ = run(name, problems=1)
    return {failure.message for failure in report.failures if failure.function == name}


def test_errors_of_other_kinds_are_found(monkeypatch):
    def of(change):
        return lambda function: lambda *arguments, **options: change(function(*arguments, **options))

    def fails(*arguments, **options):
        raise RuntimeError("a bug")

    with monkeypatch.context() as patch:
        assert planted(patch, lambda function: fails) == {"raised RuntimeError: a bug"}
    with monkeypatch.context() as patch:
        assert any("expected float16 (" in message for message in planted(patch, of(lambda y: y.astype(np.float64))))
    with monkeypatch.context() as patch:
        assert all(message.startswith("float") for message in planted(patch, of(lambda y: y[..., None])))
    with monkeypatch.context() as patch:
        assert planted(patch, of(lambda y: (y, y))) == {"returned 2 results, expected 1"}
    with monkeypatch.context() as patch:
        assert all("largest error nan" in message for message in planted(patch, of(lambda y: y * np.nan)))


def test_bits_that_depend_on_the_threads_are_found(monkeypatch):
    def noisy(function):
        def last_bit_of_the_third(*arguments, **options):
            result = function(*arguments, **options)
            return np.nextafter(result, result.dtype.type(0)) if fc.get_num_threads() == 3 else result

        return last_bit_of_the_third

    with fc.threads(3):
        several = fc.get_num_threads() == 3
    with fc.threads(2):
        messages = planted(monkeypatch, noisy)
    assert messages == ({"its bits differ between 2 and 3 threads"} if several else set())


def test_a_refusal_of_auto_is_an_error_and_that_of_an_algorithm_is_not(monkeypatch):
    def refusing(function):
        def refuse(*arguments, algorithm="auto", **options):
            raise ValueError(f"algorithm: expected one that can do this problem, got {algorithm!r}")

        return refuse

    monkeypatch.setattr(fc, "conv1d", refusing(fc.conv1d))
    report, _ = run("conv1d", problems=1)
    failing = [failure for failure in report.failures if failure.function == "conv1d"]
    assert {failure.algorithm for failure in failing} == {"auto"}
    gradients = [failure for failure in report.failures if failure.function != "conv1d"]
    assert gradients == []


def test_a_packed_weight_that_differs_is_found(monkeypatch):
    monkeypatch.setattr(fc, "PackedWeight", lambda weight: weight * 2)
    report, _ = run("conv1d", problems=1)
    assert {failure.message for failure in report.failures} == {
        "its bits differ between a weight and the packed weight"
    }


def test_many_failures_are_told_once_for_each_combination(monkeypatch):
    monkeypatch.setattr(fc, "avg_pool1d", wrong_in_one_place(fc.avg_pool1d))
    report, lines = run("avg_pool1d", problems=3)
    combinations = len(runtime.available_isas()) * len(selftest.DTYPES) * len(selftest.LAYOUTS)
    assert len(report.failures) == 3 * combinations
    assert len([line for line in lines if line.startswith("    3 times: ")]) == min(combinations, 20)


def test_it_needs_numpy_only(python):
    script = """
import io, sys
from fastconv import selftest
assert selftest.run("avg_pool1d", 1, stream=io.StringIO()).passed
print(sorted(name for name in sys.modules if name.partition(".")[0] in ("pytest", "hypothesis", "torch", "scipy")))
"""
    assert python(script).stdout == "[]\n"
