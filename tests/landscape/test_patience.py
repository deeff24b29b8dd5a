import pytest
from sqlalchemy import make_url

from elspeth_dagster.landscape import patience as patience_module
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.errors import CatalogueLostError, UnreadableLandscapeError
from elspeth_dagster.landscape.location import Location
from elspeth_dagster.landscape.patience import Patience, Waiting

AWAY = CatalogueLostError("here", "reading", "connection refused")


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only while one waits."""
    now = [100.0]
    monkeypatch.setattr(patience_module.time, "monotonic", lambda: now[0])

    def pause(seconds):
        now[0] += seconds

    return pause


def test_one_waits_up_to_the_limit_and_says_so_now_and_then(clock):
    said = []
    waiting = Waiting(Patience(25.0, said.append, clock))
    with pytest.raises(CatalogueLostError, match="elspeth resume RUN"):
        while True:
            waiting.after(AWAY)
    lines = "the catalogue at here could not be reached while reading: connection refused; trying again for "
    assert [line.removeprefix(lines) for line in said] == ["25 s", "14 s", "4 s"]


def test_once_somebody_waited_in_vain_nobody_waits_until_something_succeeds(clock):
    patience = Patience(5.0, lambda _line: None, clock)
    first = Waiting(patience)
    with pytest.raises(CatalogueLostError):
        while True:
            first.after(AWAY)
    with pytest.raises(CatalogueLostError):
        Waiting(patience).after(AWAY)
    Waiting(patience).over()
    Waiting(patience).after(AWAY)


def test_the_end_of_an_outage_is_said(clock):
    said = []
    waiting = Waiting(Patience(25.0, said.append, clock))
    waiting.after(AWAY)
    waiting.over()
    assert said[-1] == "the catalogue is back after 0 s; going on"
    Waiting(Patience(25.0, said.append, clock)).over()
    assert len(said) == 2


@pytest.mark.parametrize("places", ["postgresql"], indirect=True)
@pytest.mark.parametrize("wrong", [{"database": "none_such"}, {"username": "nobody_here"}])
def test_a_server_that_lets_us_not_in_is_not_waited_for(landscape, wrong):
    url = make_url(landscape.location.url).set(**wrong).render_as_string(hide_password=False)
    said = []
    with pytest.raises(UnreadableLandscapeError, match="does not exist"):
        Landscape.open(Location.parse(url, segments=landscape.location.segments), say=said.append)
    assert said == []
