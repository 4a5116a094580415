"""The page of a run: complete in itself, well formed, and every number the run's own."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
import pytest

from golden.formats import BF16
from hwgen import checked, cli, doctor
from hwgen.checked import Checked, as_json
from hwgen.control.causes import Cause
from hwgen.control.register_map import counter_names
from hwgen.report import figures
from hwgen.report.page import command, least_traffic, page, predicted, traffic
from hwgen.report.svg import NAMED, Picture, palettes
from hwgen.request import RunRequest
from hwgen.tests.fakes import CYCLES, FakeSimulator, checked_run, random_problem, with_flipped_bit
from hwgen.tests.html_page import by_name, read_page, rows, svgs, words

REQUEST = RunRequest(preset="tiny", shape=(2, 2, 6, 9))
FIGURES = ("activity", "ends", "bus", "traffic", "roofline", "errors")
NARROW = ("activity", "ends", "bus")


@pytest.fixture(scope="module")
def run() -> Checked:
    return checked_run()


@pytest.fixture(scope="module")
def text(run: Checked) -> str:
    return page(run, REQUEST, ["-o", "run.html"])


@pytest.fixture(scope="module")
def root(text: str) -> Element:
    return read_page(text)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages with empty figures, which take no time."""
    empty = {name: Picture(name, name, name, "<svg></svg>") for name in FIGURES}
    monkeypatch.setattr(figures, "all_figures", lambda *_: empty)


def attributes(root: Element, name: str) -> Iterator[str]:
    return (element.attrib[name] for element in root.iter() if name in element.attrib)


def test_it_needs_nothing_from_elsewhere(text: str, root: Element) -> None:
    assert "://" not in text and "@import" not in text
    assert not {element.tag for element in root.iter()} & {"link", "img", "iframe", "object", "audio", "video"}
    links = [*attributes(root, "href"), *attributes(root, "xlink:href"), *re.findall(r"url\((.*?)\)", text)]
    assert len(links) > 50 and all(link.startswith("#") for link in links)
    # Links and labels lead to something.
    names = list(attributes(root, "id"))
    assert len(names) == len(set(names))
    labels = " ".join(attributes(root, "aria-labelledby")).split()
    assert {link[1:] for link in links} | set(labels) <= set(names)
    # The only script is data.
    assert [element.get("type") for element in root.iter("script")] == ["application/json"]


def test_headings_tables_and_figures_say_what_they_are(root: Element) -> None:
    levels = [int(element.tag[1]) for element in root.iter() if re.fullmatch("h[1-6]", element.tag)]
    assert levels.count(1) == 1 and levels[0] == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))
    for table in root.iter("table"):
        assert words(table[0]) and table[0].tag == "caption"
        assert all(cell.get("scope") in ("row", "col") for cell in table.iter("th"))
        assert all(row[0].tag == "th" for row in table.iter("tr"))
    for name in FIGURES:
        figure = by_name(root, f"figure-{name}")
        pictures = figure.findall("svg")
        assert len(pictures) == 1 + (name in NARROW)
        for one in pictures:
            title, description = one[0], one[1]
            assert (one.get("role"), title.tag, description.tag) == ("img", "title", "desc")
            assert one.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
            assert words(title) and words(description) == words(figure.findall("figcaption")[0])


def test_pictures_are_text_and_take_the_colours_of_the_page(text: str) -> None:
    found = list(svgs(text))
    assert len(found) == len(FIGURES) + len(NARROW)
    light, dark = palettes()
    for picture in found:
        assert picture.attrib["viewBox"] and len(list(picture.iter("text"))) > 8
        styles = " ".join(element.get("style", "") for element in picture.iter())
        assert "#" not in re.sub(r"url\(#\w+\)", "", styles)
        used = set(re.findall(r"var\(--([\w-]+)\)", styles))
        assert used and used <= set(light)
    assert set(dark) < set(light) == set(NAMED.values())
    defined = re.findall(r"(?m)^ +--([\w-]+): #[0-9a-f]{6};$", text)
    assert set(defined) == set(light)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def test_text_can_be_read_on_light_and_dark_pages(text: str) -> None:
    """The contrast that the Web Content Accessibility Guidelines ask for (AA)."""
    light, dark = palettes()
    grounds = re.findall(r"--page: (#\w{6}); --card: (#\w{6}); --good: (#\w{6}); --link: (#\w{6});", text)
    assert len(grounds) == 2
    for (ground, card, good, link), colours in zip(grounds, (light, {**light, **dark}), strict=True):
        for ink in (colours["ink"], colours["muted"], good, link):
            for paper in (ground, card):
                low, high = sorted((luminance(ink), luminance(paper)))
                assert (high + 0.05) / (low + 0.05) >= 4.5, (ink, paper)


def test_the_numbers_are_those_of_the_run(run: Checked, text: str, root: Element) -> None:
    report = json.loads(json.dumps(as_json(run)))
    assert json.loads("".join(by_name(root, "run-data").itertext())) == report
    counters = {row[0]: int(row[1].replace(",", "")) for row in rows(by_name(root, "counter-table"))}
    assert counters == report["counters"] and tuple(counters) == counter_names()
    headlines = {words(dt): words(dd) for div in root.iter("dl") for dt, dd, _ in div}
    assert headlines["Cycles"] == f"{CYCLES:,}" and headlines["Bits equal"] == "all"
    assert headlines["Utilisation U"] == f"{report['utilisation']:.4f}"
    assert headlines["Error / rounding"] == f"{report['error']['ratio']:.4f}"
    assert headlines["Read channel busy"] == f"{report['read_channel_busy']:.4f}" == "0.5000"
    assert headlines["Bytes moved"] == "10,400"


def test_cycles_by_cause(run: Checked, root: Element) -> None:
    found = {row[0]: row[1:5] for row in rows(by_name(root, "causes"))}
    assert found["busy"] == ["760", "76.00%", "800", "80.00%"]
    for i, array in enumerate(("score", "value")):
        idle = run.result.idle(array)
        for cause in Cause:
            name = cause.name.lower()
            cycles = found.get(name.replace("_", " "), ["0", "", "0", ""])[2 * i]
            assert cycles == str(idle[name])


def test_bytes_by_tensor(run: Checked, root: Element) -> None:
    moved, least = traffic(run), least_traffic(run)
    table = rows(by_name(root, "traffic"))
    assert [int(row[1].replace(",", "")) for row in table] == list(moved.values())
    assert sum(moved.values()) == run.bytes_read + run.bytes_written
    p = run.problem
    assert least == {name: getattr(p, name).nbytes for name in "qkv"} | {"o": p.q.nbytes, "lse": 8 * p.q[..., 0].size}
    short = replace(run, problem=replace(p, keys=3))
    assert least_traffic(short)["k"] == p.k.nbytes // 3
    assert [row[2].replace(",", "") for row in table] == [str(least.get(name, "")) for name in moved]


def test_the_model_stands_beside_the_counters(run: Checked, root: Element) -> None:
    model = predicted(run, REQUEST)
    assert model is not None and model.work.shape == run.problem.shape and model.work.lse
    for row in rows(by_name(root, "counter-table")):
        want, measured = model.counters[row[0]], run.result.counters[row[0]]
        assert row[2] == f"{want:,}"
        assert row[3] == (f"{want - measured:+,}" if want != measured else "0")


def test_no_model_of_random_pauses(undrawn: None, run: Checked) -> None:
    request = replace(REQUEST, stall=9)
    assert predicted(run, request) is None
    root = read_page(page(run, request))
    assert {len(row) for row in rows(by_name(root, "counter-table"))} == {3}
    assert "pauses at random" in words(root)


def test_only_seconds_change(run: Checked, text: str) -> None:
    slower = replace(run, result=replace(run.result, seconds=77.0), build_seconds=99.0)
    lines = zip(text.splitlines(), page(slower, REQUEST, ["-o", "run.html"]).splitlines(), strict=True)
    changed = [after for before, after in lines if before != after]
    assert len(changed) == 2 and "77.0 s" in changed[0] and "run-data" in changed[1]


def test_what_must_not_be_missed(undrawn: None) -> None:
    problem = random_problem()
    q = problem.q.copy()
    q[1, 1, 4, 0] = BF16.quiet_nan
    wrong = checked_run(replace(problem, q=q, source="<script>alert(1)</script>", scale=2000.0))
    wrong = replace(wrong, result=with_flipped_bit(wrong.result, 0, "out", (0, 0), 3))
    comparison = replace(wrong.comparison, first="O at b=0 <h=0>")  # type: ignore[arg-type]
    root = read_page(page(replace(wrong, comparison=comparison), REQUEST))
    warnings = [words(element) for element in root.iter("p") if element.get("role") == "alert"]
    assert warnings == [
        "The first difference from the integer model: O at b=0 <h=0>",
        "1 queries saw NaN or infinity and are NaN.",
        "Scores were clamped: they are too large for softmax to tell them apart.",
    ]
    assert "data <script>alert(1)</script>" in "".join(root.itertext()).replace("data<", "data <")
    assert len(list(root.iter("script"))) == 1


@pytest.mark.parametrize(
    "request_",
    [
        REQUEST,
        RunRequest(preset="demo", set=("cols=4", "slots=2"), causal=True, offset=-3, scale=0.25, latency=7),
        RunRequest(preset="sim", input=Path("a b/q.npz"), key_length=5, bandwidth=100, stall=20, seed=9),
    ],
)
def test_the_command_asks_for_the_same_run(request_: RunRequest) -> None:
    name, *typed = shlex.split(command(request_, ["-o", "x.html"]))
    assert name == "hwgen"
    assert RunRequest.of(cli._parser().parse_args(typed)) == request_


@pytest.fixture
def simulator(undrawn: None, monkeypatch: pytest.MonkeyPatch) -> FakeSimulator:
    fake = FakeSimulator()
    monkeypatch.setattr(doctor, "require", lambda *names: None)
    monkeypatch.setattr(checked, "build_system", fake.build_system)
    monkeypatch.setattr(checked, "run_layer", fake.run_layer)
    return fake


def test_the_verb(simulator: FakeSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "new" / "run.html"
    typed = ["report", "--preset", "tiny", "--shape", "1,2,4,6", "--latency", "20", "-o", str(file)]
    assert cli.main(typed) == 0
    assert simulator.options["trace"] is True and simulator.options["memory"].latency == 20
    printed = capsys.readouterr().out
    assert "bits equal             1,522 (all)\n" in printed and f"written                {file}\n" in printed
    root = read_page(file.read_text())
    assert "batch 1, heads 2, queries 4, keys 6" in words(root)
    assert words(next(root.iter("pre"))) == f"hwgen {' '.join(typed)}"


def test_a_wrong_bit_is_on_the_page_and_fails(
    simulator: FakeSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    simulator.flips = [(2, "out", (1, 6), 15)]
    file = tmp_path / "run.html"
    assert cli.main(["report", "--preset", "tiny", "--shape", "2,2,3,4", "--json", "-o", str(file)]) == 1
    captured = capsys.readouterr()
    difference = json.loads(captured.out)["first_difference"]
    assert difference in captured.err and difference.startswith("O at b=1 h=0 p=1 f=6")
    assert f"The first difference from the integer model: {difference}" in words(read_page(file.read_text()))
