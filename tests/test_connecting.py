import pytest

from elspeth_dagster.connecting import keeps_out


@pytest.mark.parametrize(
    "said",
    [
        'connection failed: FATAL:  password authentication failed for user "elspeth"',
        'connection failed: FATAL:  database "none" does not exist',
        'connection failed: FATAL:  no pg_hba.conf entry for host "10.0.0.7", user "elspeth"',
        'connection failed: FATAL:  role "elspeth" is not permitted to log in',
    ],
)
def test_a_refusal_that_somebody_has_to_mend(said):
    assert keeps_out(said)


@pytest.mark.parametrize(
    "said",
    [
        "connection failed: FATAL:  the database system is starting up",
        "connection failed: FATAL:  das Datenbanksystem startet",
        "connection failed: FATAL:  sorry, too many clients already",
        "connection failed: Connection refused",
        'connection to server on socket "/run/.s.PGSQL.5432" failed: No such file or directory',
    ],
)
def test_one_that_passes(said):
    assert not keeps_out(said)
