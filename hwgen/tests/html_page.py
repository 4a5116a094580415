"""Reads a page as strictly as a browser is lenient: every element closed in its turn, every name once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, TreeBuilder

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Reader(HTMLParser):
    """Builds a tree; fails at the first element that is closed out of turn or never."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._tree = TreeBuilder()
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), (tag, attrs)
        self._tree.start(tag, {name: value or "" for name, value in attrs})
        if tag in VOID:
            self._tree.end(tag)
        else:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert "svg" in self._open, f"<{tag}/> closes itself only in SVG"
        self._tree.start(tag, {name: value or "" for name, value in attrs})
        self._tree.end(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open[-1] == tag, f"</{tag}> at line {self.getpos()[0]} while {self._open} are open"
        self._tree.end(self._open.pop())

    def handle_data(self, data: str) -> None:
        if self._open:
            self._tree.data(data)

    def tree(self) -> Element:
        self.close()
        assert not self._open, f"{self._open} are never closed"
        return self._tree.close()


def read_page(text: str) -> Element:
    """The page's root element."""
    assert text.startswith("<!DOCTYPE html>\n<html lang=")
    reader = Reader()
    reader.feed(text)
    return reader.tree()


def words(element: Element) -> str:
    """All text inside, with single blanks."""
    return " ".join("".join(element.itertext()).split())


def by_name(page: Element, name: str) -> Element:
    """The element with an id, of which there must be one."""
    (found,) = (element for element in page.iter() if element.get("id") == name)
    return found


def rows(table: Element) -> list[list[str]]:
    """The cells of a table's body."""
    body = table.find("tbody")
    assert body is not None
    return [[words(cell) for cell in row] for row in body]


def svgs(text: str) -> Iterator[Element]:
    """Every picture in the page as an XML document of its own."""
    for found in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        yield ElementTree.fromstring(f'<x xmlns:xlink="http://www.w3.org/1999/xlink">{found}</x>')[0]
