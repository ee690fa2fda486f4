from __future__ import annotations

import copy
import pickle

import pytest

from pillow_rnc import errors

CLASSES = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, errors.RncError)]


def test_every_class_is_an_rnc_error_with_a_docstring() -> None:
    assert len(CLASSES) == 10
    assert all(issubclass(error, errors.RncError) and error.__doc__ for error in CLASSES)


@pytest.mark.parametrize("error", CLASSES)
def test_an_error_survives_pickle_and_copy(error: type[errors.RncError]) -> None:
    raised = error("tile 3: spare bytes")

    for twin in (pickle.loads(pickle.dumps(raised)), copy.copy(raised)):  # noqa: S301 our own bytes
        assert type(twin) is error
        assert str(twin) == "tile 3: spare bytes"
        assert twin.args == ("tile 3: spare bytes",)


@pytest.mark.parametrize("error", CLASSES)
def test_an_error_survives_the_pickles_of_dask(error: type[errors.RncError]) -> None:
    support = pytest.importorskip("tblib.pickling_support", reason="needs the extra [dask]")
    raised = error("tile 3: spare bytes")
    raised.add_note("in file 2")
    make, arguments, *state = support.pickle_exception(raised)
    twin = make(*arguments)
    vars(twin).update(*state)

    assert type(twin) is error
    assert twin.args == ("tile 3: spare bytes",)
    assert twin.__notes__ == ["in file 2"]


def test_a_truncated_error_carries_its_count_to_another_process() -> None:
    raised = errors.TruncatedError("cut", decodable_iterations=5)

    twin = pickle.loads(pickle.dumps(raised))  # noqa: S301 our own bytes

    assert twin.decodable_iterations == 5


def test_a_truncated_error_needs_no_arguments() -> None:
    assert errors.TruncatedError().decodable_iterations == 0
    assert "truncated" in str(errors.TruncatedError())


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.SignatureError, OSError),
        (errors.UnsupportedError, OSError),
        (errors.CorruptError, OSError),
        (errors.TruncatedError, OSError),
        (errors.WorkLimitError, OSError),
        (errors.RncOptionError, ValueError),
        (errors.WeightsError, RuntimeError),
    ],
)
def test_code_that_knows_only_builtins_can_catch_it(error: type[Exception], builtin: type[Exception]) -> None:
    with pytest.raises(builtin, match="found"):
        raise error("found")


def test_a_file_error_has_no_error_number() -> None:
    assert errors.CorruptError("tile 3").errno is None
