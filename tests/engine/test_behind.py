"""Work behind the work: in order, errors neither lost nor put before an earlier one."""

import threading

import pytest

from elspeth_dagster.engine.behind import one_behind


def fail(message: str) -> None:
    raise ValueError(message)


def test_everything_is_done_in_order_when_the_block_ends() -> None:
    done: list[int] = []
    with one_behind() as behind:
        for number in range(20):
            behind.do(lambda number=number: done.append(number))
    assert done == list(range(20))


def test_an_error_behind_stops_the_next_piece_and_is_raised_as_it_is() -> None:
    done: list[int] = []
    with pytest.raises(ValueError, match="disk"), one_behind() as behind:
        behind.do(lambda: fail("disk"))
        behind.do(lambda: done.append(1))
    assert done == []


def test_an_error_of_the_last_piece_is_raised() -> None:
    with pytest.raises(ValueError, match="last"), one_behind() as behind:
        behind.do(lambda: fail("last"))


def test_the_error_of_the_block_wins_and_that_behind_becomes_a_note() -> None:
    with pytest.raises(KeyError, match="first") as caught, one_behind() as behind:
        behind.do(lambda: fail("second"))
        raise KeyError("first")
    assert "second" in caught.value.__notes__[0]


def test_after_an_error_nothing_is_under_way_before_files_are_closed() -> None:
    order: list[str] = []
    release = threading.Event()

    def write() -> None:
        release.wait(5)
        order.append("written")
        raise OSError("disk")

    with one_behind() as behind:
        behind.do(write)
        error = ValueError("plugin")
        threading.Timer(0.05, release.set).start()
        behind.settle(error)
        order.append("closed")
    assert order == ["written", "closed"]
    assert "OSError: disk" in error.__notes__[0]
