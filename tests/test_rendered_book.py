"""The built pages in a browser: what a reader would stumble over, found first."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from bs4 import BeautifulSoup

from book.progress import ROOT
from tests.chromium import Chromium, find_chromium, serve

HTML = ROOT / "_build" / "quick" / "html"
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text())
PAGES = [TOC["root"], *(entry["file"] for part in TOC["parts"] for entry in part["chapters"])]
#: A page with less text than this, in characters, was built from nothing.
SHORTEST_PAGE = 200
PHONE, DESK = 390, 1280

QUESTIONS = {
    "broken images": "[...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.src)",
    "images without alt text": "[...document.images].filter(i => !i.alt.trim()).map(i => i.src)",
    "figures without caption": """[...document.querySelectorAll('figure')]
        .filter(f => !f.querySelector('figcaption')?.innerText.trim())
        .map(f => f.id || f.outerHTML.slice(0, 80))""",
    "equations that are not set": """[...document.querySelectorAll('mjx-merror, [data-mjx-error]')]
        .map(e => e.dataset.mjxError || e.innerText)""",
    "markup that stayed text": r"""(() => {
        const page = document.querySelector('article').cloneNode(true);
        page.querySelectorAll('pre, code').forEach(e => e.remove());
        return page.innerText.match(/\{[a-z:]+\}`|:::|```|!\[/g) ?? []; })()""",
}


def complaints(browser: Chromium, address: str, folder: Path, page: str) -> list[str]:
    """All that is wrong with one page, given the address that serves `folder`."""
    browser.resize(DESK)
    browser.open(f"{address}/{page}.html")
    found = [f"console: {message}" for message in browser.messages]
    found += [f"{what}: {case}" for what, question in QUESTIONS.items() for case in browser.ask(question)]
    characters = browser.ask("(document.querySelector('article')?.innerText ?? '').trim().length")
    if characters < SHORTEST_PAGE:
        found.append(f"an empty page: {characters} characters")
    for link in browser.ask("[...document.querySelectorAll('a[href]')].map(a => a.href)"):
        if link.startswith(address) and not resolves(link, folder):
            found.append(f"a link that leads nowhere: {link.removeprefix(address)}")
    return found


def resolves(link: str, folder: Path) -> bool:
    """Whether a link into the book leads to a file, and to the place in it that it names."""
    parts = urlsplit(link)
    file = folder / unquote(parts.path).lstrip("/")
    if file.is_dir():
        file = file / "index.html"
    if not file.is_file():
        return False
    return not parts.fragment or file.suffix != ".html" or unquote(parts.fragment) in identifiers(file)


@functools.cache
def identifiers(file: Path) -> frozenset[str]:
    """Every place of a page that a link can name."""
    soup = BeautifulSoup(file.read_text(), "html.parser")
    return frozenset(
        tag.get("id") or tag.get("name") for tag in soup.find_all(lambda t: t.get("id") or t.get("name"))
    )


@pytest.fixture(scope="module")
def browser():
    program = find_chromium()
    if program is None:
        message = "no Chromium: install it, or name it in the environment variable CHROMIUM"
        if os.environ.get("V1LIB_REQUIRE_CHROMIUM"):
            pytest.fail(message)
        pytest.skip(message)
    with Chromium(program) as started:
        yield started


@pytest.fixture(scope="module")
def address():
    if not (HTML / "index.html").exists():
        if os.environ.get("V1LIB_REQUIRE_BOOK"):
            pytest.fail("the book was not built")
        pytest.skip("no built book: run `make book` first")
    with serve(HTML) as served:
        yield served


@pytest.mark.parametrize("page", PAGES)
def test_page_is_sound(browser, address, page):
    assert complaints(browser, address, HTML, page) == []


@pytest.mark.parametrize("page", PAGES)
def test_page_fits_a_phone(browser, address, page):
    browser.resize(PHONE)
    browser.open(f"{address}/{page}.html")
    assert browser.ask("document.documentElement.scrollWidth") <= PHONE


@pytest.mark.parametrize("page", PAGES)
def test_page_says_where_it_comes_from(browser, address, page):
    browser.open(f"{address}/{page}.html")
    said = browser.ask("document.querySelector('dl.v1-provenance')?.innerText ?? ''")
    wanted = ["Profile", "Commit", "Environment"]
    if page.startswith("notebooks/"):
        wanted += ["Data", "Parameters", "Library", "Computed"]
        assert browser.ask("document.querySelectorAll('article h1 ~ p.v1-data').length") == 1
    assert [word for word in wanted if word not in said] == []


def test_first_page_leads_to_the_welcome(browser, address):
    browser.open(f"{address}/index.html")
    browser.ask("new Promise(done => setTimeout(done, 500))")  # the redirect is a meta refresh of 0 s
    assert str(browser.ask("location.pathname")).endswith("/book/welcome.html")


def test_status_lists_every_notebook(browser, address):
    browser.open(f"{address}/book/status.html")
    links = browser.ask("[...document.querySelectorAll('article table a')].map(a => a.pathname)")
    assert links == [f"/{page}.html" for page in PAGES if page.startswith("notebooks/")]


SOUND = f"""<!doctype html><title>x</title><link rel="icon" href="data:,"><article><h1 id="top">A page</h1>
<p>{"Words that fill the page. " * 10}</p><a href="#top">up</a></article>"""


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ('<img src="gone.png" alt="x">', "broken images"),
        (
            '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA=" alt="">',
            "images without alt text",
        ),
        ("<figure id='f'><p>no words</p></figure>", "figures without caption"),
        ('<a href="gone.html">there</a>', "a link that leads nowhere: /gone.html"),
        ('<a href="#gone">there</a>', "a link that leads nowhere: /page.html#gone"),
        ("<script>console.error('a fault')</script>", "console: a fault"),
        ("<script>undefinedFunction()</script>", "undefinedFunction is not defined"),
        ('<script src="https://host.invalid/x.js"></script>', "console:"),
        ("<article>{glue:text}`slope`</article>", "markup that stayed text"),
    ],
)
def test_faults_are_found(browser, tmp_path, fault, expected):
    (tmp_path / "page.html").write_text(SOUND.replace("</article>", f"{fault}</article>"))
    with serve(tmp_path) as local:
        found = complaints(browser, local, tmp_path, "page")
    assert any(expected in line for line in found), found


def test_sound_page_has_no_complaints(browser, tmp_path):
    (tmp_path / "page.html").write_text(SOUND)
    with serve(tmp_path) as local:
        assert complaints(browser, local, tmp_path, "page") == []


def test_empty_page_is_found(browser, tmp_path):
    (tmp_path / "page.html").write_text('<link rel="icon" href="data:,"><article><h1>A title</h1></article>')
    with serve(tmp_path) as local:
        assert complaints(browser, local, tmp_path, "page") == ["an empty page: 7 characters"]
