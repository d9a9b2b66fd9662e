"""Pages: no text of a record becomes a part of them, they ask for nothing, and their numbers are those given."""

from __future__ import annotations

import base64
import json
import math
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from molgiae.data.conformer import ConformerBlock, Rejected
from molgiae.output.page import charts
from molgiae.output.page.content import Column, Content, Decoded, Group, Map, is_page, page
from molgiae.output.page.markup import Html, data, table, tag
from tests.conformers import random_conformer

ASKING = {"src", "href", "action", "srcset", "data", "poster", "formaction", "background"}
"""Attributes for which a browser may ask for something."""
EVIL = "</script><script>alert(1)</script><img src=http://evil.example onerror=alert(1)>\"'&"


class Parsed(HTMLParser):
    """Elements of a page with their attributes, the texts in each, and the ids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.elements:
            self.texts.append((self.elements[-1][0], data))

    def text(self) -> str:
        return "".join(text for name, text in self.texts if name not in ("script", "style"))

    def numbers(self) -> dict:
        found = next(text for name, text in self.texts if name == "script" and text.startswith("{"))
        return json.loads(found)


def requests(parsed: Parsed) -> list[str]:
    """What a browser would ask for, or run, beside the three scripts of a page and its style."""
    found = [f"{name} {key}" for name, attributes in parsed.elements for key in attributes if key in ASKING]
    found += [
        f"{name} {key}" for name, attributes in parsed.elements for key in attributes if key.startswith("on")
    ]
    scripts = sum(name == "script" for name, _ in parsed.elements)
    styles = [text for name, text in parsed.texts if name == "style"]
    return (
        found + ["script"] * (scripts - 3) + [text for text in styles if "url(" in text or "@import" in text]
    )


def array(packed: dict) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed["bytes"]), "<" + packed["type"])


def content(title: str = "a", size: int = 4, scale: float = 1.0) -> Content:
    rng = np.random.default_rng(0)
    block = ConformerBlock.of([random_conformer(5, seed) for seed in range(size)])
    block = ConformerBlock.from_arrays(
        block.atomic_number,
        block.position * scale + 7,
        block.offset,
        title=[title] * size,
        source=[title] * size,
    )
    return Content(
        title=title,
        counts={title: 3},
        notes=[title],
        block=block,
        columns=[
            Column(title, title, rng.normal(size=size)),
            Column("kind", title, np.zeros(size), (title,)),
        ],
        texts={title: [title] * size},
        maps=[Map(title, rng.normal(size=(size, 2)), (title, title))],
        how_clustered=title,
        clusters=[Group(1, 3, 2, 0.5)],
        worst=[Decoded(1, 0.25, block.atomic_number[:5], block.position[5:10] + 0.1, 1)],
        rejected=[Rejected(title, 1, title, 1, title)],
        reasons={title: 1},
        about={title: title},
    )


@given(st.text())
def test_text_stays_text(text):
    parsed = Parsed(tag("p", text, title=text))
    assert [name for name, _ in parsed.elements] == ["p"]
    as_read = text.replace("\r\n", "\n").replace("\r", "\n")
    assert "".join(found for _, found in parsed.texts).replace("\r\n", "\n").replace("\r", "\n") == as_read
    assert parsed.elements[0][1]["title"] == text
    assert table([[text]]) == f"<table><tr><td>{tag('p', text)[3:-4]}</td></tr></table>"


@given(st.recursive(st.text() | st.floats(allow_nan=False, allow_infinity=False), st.lists))
def test_data_end_with_their_script(value):
    parsed = Parsed(data("x", [value, EVIL]) + "<p>")
    assert [name for name, _ in parsed.elements] == ["script", "p"]
    assert json.loads("".join(text for name, text in parsed.texts)) == [value, EVIL]


def test_no_title_becomes_a_part_of_the_page():
    parsed, plain = Parsed(page(content(EVIL))), Parsed(page(content("a")))
    assert requests(parsed) == [] == requests(plain)
    assert [name for name, _ in parsed.elements] == [name for name, _ in plain.elements]
    assert parsed.text().count(EVIL) > 10
    assert parsed.numbers()["title"] == [EVIL] * 4


@pytest.mark.parametrize(
    "harm",
    [
        "<script>alert(1)</script>",
        '<img src="http://evil.example">',
        "<p onclick='x()'>",
        "<style>@import 'x';</style>",
        '<a href="https://example.org">x</a>',
    ],
)
def test_harm_would_be_seen(harm):
    broken = content("a")
    assert requests(Parsed(page(broken).replace("<main>", f"<main>{Html(harm)}"))) != []


def test_the_page_forbids_itself_every_request():
    policy = next(a for name, a in Parsed(page(content())).elements if a.get("http-equiv"))
    assert policy["http-equiv"] == "Content-Security-Policy"
    assert policy["content"].startswith("default-src 'none';") and "http" not in policy["content"]


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_the_numbers_are_those_given(scale):
    given_ = content(scale=scale)
    numbers, block = Parsed(page(given_)).numbers(), given_.block
    offset, place = array(numbers["offset"]), array(numbers["position"]).reshape(-1, 3) * numbers["unit"]
    assert np.array_equal(offset, block.offset) and np.array_equal(array(numbers["z"]), block.atomic_number)
    for m in range(len(block)):
        x = block.position[block.atoms_of(m)]
        assert_allclose(place[offset[m] : offset[m + 1]], x - x.mean(axis=0), atol=numbers["unit"])
    assert numbers["unit"] == 1e-3 if scale == 1 else 1e-3 < numbers["unit"] < 0.1
    assert_allclose(array(numbers["columns"][0]["values"]), given_.columns[0].values)
    assert_allclose(array(numbers["maps"][0]["place"]).reshape(-1, 2), given_.maps[0].place, rtol=1e-6)
    own = block.position[5:10]
    decoded = np.reshape(numbers["decoded"][0]["position"], (-1, 3))
    assert_allclose(decoded, own - own.mean(axis=0) + 0.1, atol=2e-3 * scale)


def test_cards_name_rows_of_the_page():
    parsed = Parsed(page(content()))
    cards = [a for name, a in parsed.elements if name == "button"]
    assert [card["data-row"] for card in cards] == ["2", "1"]
    assert [card.get("data-decoded") for card in cards] == [None, "0"]


def test_a_page_of_nothing_is_a_page():
    parsed = Parsed(page(Content("none", {"conformers": 0}, ConformerBlock.of([]))))
    assert "conformers" in parsed.text() and requests(parsed) == []
    assert not {"canvas", "svg", "button"} & {name for name, _ in parsed.elements}


def heights(svg: str) -> list[float]:
    return [float(a["height"]) for name, a in Parsed(svg).elements if name == "rect"]


@given(
    st.lists(st.floats(-1e6, 1e6) | st.integers(-20, 20).map(float) | st.just(float("nan")), max_size=60),
)
@example([0.0, 5e-324])
@example([1e6, np.nextafter(1e6, 2e6)])
def test_bars_count_every_number(values):
    svg, known = charts.histogram("x", np.array(values)), [v for v in values if not math.isnan(v)]
    counts = [
        int(text.rsplit(": ", 1)[1]) for name, text in Parsed(svg).texts if name == "title" and ": " in text
    ]
    assert sum(counts) == len(known)
    if known:
        assert max(heights(svg)) == charts.HEIGHT
        assert ("without" in svg) == (len(known) < len(values))


def test_long_tails_are_logarithmic_and_rare_classes_are_others():
    assert charts.is_logarithmic(np.array([1e-4, 1e-4, 0.1])) and not charts.is_logarithmic(
        np.array([0.0, 1, 99])
    )
    assert "logarithmic" in charts.histogram("x", np.array([1e-4, 1e-4, 0.1]))
    svg = charts.classes("x", [f"c{k}" for k in range(20)], [20 - k for k in range(20)])
    assert len(heights(svg)) == charts.MOST_BARS and f"others {sum(range(1, 10))}" in svg


def test_names_of_pages():
    assert is_page("a.html") and is_page("A.HTM") and not is_page("a.html.gz") and not is_page("a.h5")
