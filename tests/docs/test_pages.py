"""Pages as such: links lead somewhere, illustrations parse, nothing of one machine is in them."""

import json
import re
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml
from markdown_pages import PAGES, REPOSITORY, Page

_MACHINE = re.compile(r"(?<![\w.])/(?:home|root|work|tmp|Users)/")
page = pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(REPOSITORY)))


@page
def test_links_lead_somewhere(path: Path) -> None:
    for link in Page.read(path).links():
        target, _, anchor = unquote(link).partition("#")
        place = (path.parent / target).resolve() if target else path
        assert place.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in Page.read(place).anchors(), f"{link}: there is no such heading"


@page
def test_yaml_and_json_parse(path: Path) -> None:
    for block in Page.read(path).blocks():
        if block.language == "yaml":
            assert yaml.safe_load(block.text) is not None, f"line {block.line} holds nothing"
        elif block.language == "json":
            json.loads(block.text)


@page
def test_no_path_of_one_machine(path: Path) -> None:
    assert _MACHINE.search(path.read_text(encoding="utf-8")) is None
