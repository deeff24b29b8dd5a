"""Many settings files as one code location: whatever is wrong with one of them, the others load."""

import os
import textwrap
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from platform_jobs import launch
from platforms import Platform

from elspeth_dagster.orchestration import assets, definitions
from elspeth_dagster.orchestration.at_fault import at_fault
from elspeth_dagster.orchestration.definitions import FOLDER_VARIABLE, build_definitions
from elspeth_dagster.orchestration.names import safe_name

WRONG = "source: {plugin: csvv}\n"


def pipeline(name: str, *, reads: str = "", writes: str = "", **dagster: Any) -> dict[str, Any]:
    return {
        "source": {"plugin": "csv", "on_success": "out",
                   "options": {"path": reads or f"in/{name}.csv", "on_validation_failure": "discard"}},
        "sinks": {"out": {"plugin": "csv", "options": {"path": writes or f"output/{name}.csv"}}},
        "dagster": dagster,
    }  # fmt: skip


def loaded(platform: Platform, files: dict[str, Any]) -> dg.Definitions:
    """The definitions of a healthy pipeline and of some files, which Dagster takes."""
    for name, document in {"good": pipeline("good"), **files}.items():
        platform.pipeline(name, document)
    found = build_definitions("pipelines")
    found.get_repository_def().load_all_definitions()
    assert found.resolve_job_def("good").tags.get("elspeth/pipeline") == "good"
    assert dg.AssetKey(["good", "out"]) in found.resolve_all_asset_keys()
    return found


def broken(found: dg.Definitions) -> dict[str, str]:
    """What the assets of the files say that do not load, by the files."""
    specs = [spec for spec in found.resolve_all_asset_specs() if spec.key.path[0] == "broken_settings"]
    return {"/".join(spec.key.path[1:]): spec.description or "" for spec in specs}


def jobs(found: dg.Definitions) -> set[str]:
    return {job.name for job in found.resolve_all_job_defs() if job.name != "__ASSET_JOB"}


@pytest.mark.parametrize(
    "names",
    [
        ["ü"],
        ["größe/a"],
        ["日本", "中国"],
        ["a-b", "a_b"],
        ["x/a", "x__a"],
        ["x/a", "y/a"],
        ["a b!"],
        ["class"],
    ],
)
def test_files_of_any_name_may_be_broken(platform: Platform, names: list[str]) -> None:
    found = loaded(platform, dict.fromkeys(names, WRONG))
    assert set(broken(found)) == {f"pipelines/{name}.yaml" for name in names}
    assert jobs(found) == {"good", *(safe_name(Path(name).name) for name in names)}


def test_a_file_whose_name_is_no_text_may_be_broken(platform: Platform) -> None:
    folder = os.fsencode(platform.path("pipelines"))
    platform.path("pipelines").mkdir()
    Path(os.fsdecode(folder + b"/\xff.yaml")).write_text(WRONG)
    found = loaded(platform, {})
    assert set(broken(found)) == {"pipelines/\\udcff.yaml"}


@pytest.mark.parametrize("folder", ["other", "größe"])
def test_broken_files_outside_of_the_platform(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    place = tmp_path / folder
    place.mkdir()
    (place / "wrong.yaml").write_text(WRONG)
    monkeypatch.setenv(FOLDER_VARIABLE, str(place))
    found = build_definitions("pipelines")
    found.get_repository_def().load_all_definitions()
    assert [Path("/", name) for name in broken(found)] == [place / "wrong.yaml"]
    assert jobs(found) == {"wrong"}


def test_names_of_other_alphabets_stay_apart(platform: Platform) -> None:
    found = loaded(platform, {"日本": pipeline("j"), "中国": pipeline("c"), "ж": pipeline("z")})
    assert broken(found) == {}
    assert len(jobs(found)) == 4
    # Names are kept for good: runs, schedules and partitions of before are known by them.
    assert safe_name("日本") == "___cf2abf0c"
    assert safe_name("Größe 2024") == safe_name("Gro\u0308ße 2024") == "Gr__e_2024_07527907"
    assert [safe_name(name) for name in ("orders", "a-b c.d", "class")] == ["orders", "a_b_c_d", "class_"]
    with dg.DagsterInstance.get() as instance:
        platform.write("in/j.csv", "id\n1\n")
        assert launch(safe_name("日本"), instance).success
    assert platform.outputs() == {"j.csv": b"id\r\n1\r\n"}


@pytest.mark.parametrize(
    "names", [("alpha", "alpha__run"), ("b/alpha__run", "c/alpha"), ("alpha", "alpha__open_run")]
)
def test_a_job_does_not_get_the_name_of_anothers_graph_or_op(
    platform: Platform, names: tuple[str, str]
) -> None:
    found = loaded(platform, {name: pipeline(name) for name in names})
    (told,) = broken(found).values()
    assert all(f"pipelines/{name}.yaml" in told for name in names)
    assert "rename one of them" in told
    assert len(jobs(found)) in {2, 3}


def test_a_pipeline_does_not_stand_in_for_dagsters_job_of_all_assets(platform: Platform) -> None:
    found = loaded(platform, {"__ASSET_JOB": pipeline("all")})
    assert broken(found) == {}
    assert jobs(found) == {"good", "__ASSET_JOB_"}
    assert found.resolve_implicit_global_asset_job_def().tags == {}


def test_a_broken_file_keeps_its_name_from_another(platform: Platform) -> None:
    scheduled = pipeline("a", schedule="@daily")
    found = loaded(platform, {"x/a": WRONG, "y/a": scheduled})
    told = broken(found)
    assert "'sinks' is missing" in told["pipelines/x/a.yaml"]
    assert "pipelines/x/a.yaml' and 'pipelines/y/a.yaml' are both 'a'" in told["pipelines/y/a.yaml"]
    assert list(found.schedules or ()) == []
    assert jobs(found) == {"good", "a"}
    with dg.DagsterInstance.get() as instance:
        result = launch("a", instance)
        assert not result.success
        (failed,) = [event for event in result.all_events if event.is_step_failure]
        assert "pipelines/x/a.yaml does not load" in failed.step_failure_data.user_failure_data.description


def test_pipelines_that_read_in_a_circle(platform: Platform) -> None:
    circle = {
        "a": pipeline("a", reads="output/c.csv"),
        "b": pipeline("b", reads="output/a.csv"),
        "c": pipeline("c", reads="output/b.csv"),
        "behind": pipeline("behind", reads="output/a.csv"),
        "itself": pipeline("itself", reads="output/itself.csv") | {"sinks": {"out": {
            "plugin": "csv", "options": {"path": "output/itself.csv", "mode": "append"}}}},
    }  # fmt: skip
    found = loaded(platform, circle)
    told = broken(found)
    assert set(told) == {f"pipelines/{name}.yaml" for name in "abc"}
    for text in told.values():
        assert "a reads what c writes; c reads what b writes; b reads what a writes: a circle" in text
    assert jobs(found) == {"good", "a", "b", "c", "behind", "itself"}
    platform.pipeline("c", pipeline("c"))
    assert broken(build_definitions("pipelines")) == {}


def test_a_file_from_outside_whose_key_an_asset_has(platform: Platform) -> None:
    found = loaded(platform, {"files": pipeline("files"), "g": pipeline("g", reads="source")})
    assert broken(found) == {}
    keys = {key.to_user_string() for key in found.resolve_all_asset_keys()}
    assert {"files/source", "files/files/source", "g/source"} <= keys


def test_paths_that_are_none(platform: Platform) -> None:
    platform.write("in/loop", "").unlink()
    platform.path("in/loop").symlink_to("loop")
    files = {
        "nul": pipeline("nul", reads="x\0y"),
        "nul_out": pipeline("nul_out", writes="x\0y"),
        "loop": pipeline("loop", reads="in/loop"),
    }
    told = broken(loaded(platform, files))
    assert set(told) == {"pipelines/nul.yaml", "pipelines/nul_out.yaml"}
    assert "nul.yaml:" in told["pipelines/nul.yaml"]
    assert "source.options.path: there is a NUL character in it" in told["pipelines/nul.yaml"]


@pytest.mark.parametrize("value", ["a b!", "x" * 64])
def test_a_tag_that_dagster_does_not_take(platform: Platform, value: str) -> None:
    told = broken(loaded(platform, {"tagged": pipeline("tagged", tags={"tier": value})}))
    assert "dagster.tags.tier: found" in told["pipelines/tagged.yaml"]


def test_two_pipelines_of_which_one_can_write_the_file_of_the_other(platform: Platform) -> None:
    files = {
        "s": pipeline("s", writes="o/{partition}", sensor={"watch": "in/*"}),
        "t": pipeline("t", writes="o/t.csv"),
        "u": pipeline("u", writes="o/u/t.csv"),
    }
    found = loaded(platform, files)
    (told,) = broken(found).items()
    assert told[0] == "pipelines/t.yaml"
    assert "t/out writes o/t.csv, which s/out can come to write too: it writes o/{partition}" in told[1]
    assert "Put one of the two into a folder of its own" in told[1]


def test_two_pipelines_that_write_one_file(platform: Platform) -> None:
    found = loaded(platform, {"s": pipeline("s", writes="o.csv"), "t": pipeline("t", writes="./o.csv")})
    (told,) = broken(found).items()
    assert told[0] == "pipelines/t.yaml"
    assert "t/out writes o.csv, and so does s/out" in told[1]


@pytest.mark.parametrize("when", ["built", "put together"])
def test_what_only_dagster_finds_wrong_is_shown_and_the_others_load(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Stands for the mistakes that nobody has thought of."""

    def key(pipeline: str) -> dg.AssetKey:
        if pipeline == "p3" and when == "built":
            raise dg.DagsterInvalidDefinitionError("p3 is not to Dagster's liking")
        return dg.AssetKey(["p1" if pipeline == "p3" else pipeline, "source"])

    monkeypatch.setattr(assets, "source_key", key)
    found = loaded(platform, {f"p{number}": pipeline(f"p{number}") for number in range(6)})
    (told,) = broken(found).items()
    assert told[0] == "pipelines/p3.yaml"
    assert ("to Dagster's liking" if when == "built" else "Duplicate asset key") in told[1]
    assert jobs(found) == {"good", *(f"p{number}" for number in range(6))}


def test_definitions_are_put_together_once_when_nothing_is_wrong(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    together = definitions._parts
    monkeypatch.setattr(definitions, "_parts", lambda *args: made.append(1) or together(*args))
    loaded(platform, {"wrong": WRONG})
    assert made == [1]


@pytest.mark.parametrize("wrong", [set(), {0}, {7}, {3, 4}, set(range(8))])
def test_those_at_fault_are_found(wrong: set[int]) -> None:
    tried = []

    def fault_of(some: Any) -> str | None:
        tried.append(some)
        return textwrap.shorten(f"wrong: {wrong & set(some)}", 80) if wrong & set(some) else None

    assert {thing for thing, _ in at_fault(range(8), fault_of)} == wrong
    assert all(str(thing) in why for thing, why in at_fault(range(8), fault_of))
    assert wrong or len(tried) <= 2


@pytest.mark.parametrize("absolute", ["watch", "path"])
def test_what_a_pipeline_writes_is_not_what_it_watches_however_both_are_written(
    platform: Platform, absolute: str
) -> None:
    watch, path = "in/*.csv", "in/out-{partition}"
    platform.pipeline("loops", {
        "source": {"plugin": "csv", "on_success": "out",
                   "options": {"path": "in/a.csv", "on_validation_failure": "discard"}},
        "sinks": {"out": {"plugin": "csv", "options": {
            "path": str(platform.root / path) if absolute == "path" else path}}},
        "dagster": {"sensor": {"watch": str(platform.root / watch) if absolute == "watch" else watch}},
    })  # fmt: skip
    (told,) = broken(build_definitions("pipelines")).values()
    assert "which would be watched too" in told
