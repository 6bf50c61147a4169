"""The documents are true where a machine can tell: links, names, tables, line lengths, kinds of pages."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from tests.architecture.tree import PACKAGES, ROOT

DOCS = ROOT / "docs"
KINDS = {"tutorial": "Tutorial", "how-to": "How-to", "reference": "Reference", "explanation": "Explanation"}
PAGES = [
    *sorted(ROOT.glob("*.md")),
    ROOT / "bench" / "REPORT.md",
    *sorted(DOCS.rglob("*.md")),
    *sorted((ROOT / "model_store").rglob("*.md")),
]
WIDTH = 110
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!https?:|mailto:)([^)\s]*)\)")
PICTURE = re.compile(r"!\[[^\]]*\]\((?!https?:)([^)\s]+)\)")
BESIDE = re.compile(
    r"((?:`[\w.]+`(?:, | and |, and )?)+) (?:in|of|are in|is in) \[[^\]]*\]\(([^)#\s]+\.\w+)\)"
)


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(text: str) -> str:
    """Without fenced blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The headings as GitHub names them."""
    heads = re.findall(r"^#+ (.+)$", prose(page.read_text()), re.MULTILINE)
    plain = (re.sub(r"[`*]|\]\([^)]*\)|\[", "", head).strip().lower() for head in heads)
    return {re.sub(r"[^\w\- ]", "", head).replace(" ", "-") for head in plain}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    wrong = []
    for _, link in LINK.findall(prose(page.read_text())):
        target, _, anchor = link.partition("#")
        file = (page.parent / target).resolve() if target else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            wrong.append(link)
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_picture_is_there(page: Path) -> None:
    missing = [one for one in PICTURE.findall(page.read_text()) if not (page.parent / one).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_names_beside_a_link_exist_in_that_file(page: Path) -> None:
    """As in: `cache_key` in [contracts/result.py](../../contracts/result.py)."""
    text = re.sub(r"\s+", " ", prose(page.read_text()))
    wrong = []
    for names, link in BESIDE.findall(text):
        file = (page.parent / link).resolve()
        said = re.findall(r"`([\w.]+)`", names)
        if file.suffix in {".py", ".lua"}:
            wrong += [one for one in said if not re.search(rf"\b{re.escape(one)}\b", file.read_text())]
    assert wrong == []


FILE = re.compile(r"`((?:[\w.-]+/)+[\w.-]+\.(?:py|lua|ya?ml|json|sh))`")
DOTTED = re.compile(rf"`((?:{'|'.join(sorted(PACKAGES))})(?:\.\w+)+)`")
PROGRAM = re.compile(r"python -m ([a-z_]\w*(?:\.[a-z_]\w*)*)")


def found(dotted: str) -> bool:
    """Whether the module is there; what follows a module's name must stand in it."""
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        place = ROOT.joinpath(*parts[:count])
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.exists():
                rest = parts[count:]
                return not rest or re.search(rf"\b{rest[0]}\b", file.read_text()) is not None
    return False


def runs(module: str) -> bool:
    place = ROOT.joinpath(*module.split("."))
    return place.with_suffix(".py").exists() or (place / "__main__.py").exists()


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=name)
def test_files_modules_and_programs_that_are_named_exist(page: Path) -> None:
    text = page.read_text()
    files = [one for one in FILE.findall(text) if one.split("/")[0] in PACKAGES and not (ROOT / one).exists()]
    names = [one for one in DOTTED.findall(text) if not found(one)]
    programs = [one for one in PROGRAM.findall(text) if one.split(".")[0] in PACKAGES and not runs(one)]
    assert [*files, *names, *programs] == []


OLD_WORDS = re.compile(
    r"\b(nurser(?:y|ies)|keeper|shel(?:f|ves)|golden (?:request|inference)|stray|dearly)\b"
)


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=name)
def test_a_page_says_no_old_word(page: Path) -> None:
    """Code keeps to the glossary by test_words; this holds what people read."""
    shown = re.sub(r"\]\([^)]*\)", "]", page.read_text())
    assert OLD_WORDS.findall(shown) == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_table_lists_nothing_twice(page: Path) -> None:
    for table in re.split(r"\n(?!\|)", page.read_text()):
        keys = Counter(re.findall(r"^\| (`[^|]+`) \|", table, re.MULTILINE))
        assert [key for key, count in keys.items() if count > 1] == []


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name not in {"CARD.md", "CHANGELOG.md"}], ids=name
)
def test_lines_wrap(page: Path) -> None:
    """Tables, code, and what cannot be broken (a link, a span of code) excepted."""
    long = [
        line
        for line in prose(page.read_text()).splitlines()
        if len(line) > WIDTH and not line.startswith(("|", "    ", "![")) and " " in _unbroken(line)
    ]
    assert long == []


def _unbroken(line: str) -> str:
    """What of a line could have been put on the next one."""
    start = re.match(r"\s*(?:[-*>]|\d+\.)?\s*", line)
    shown = re.sub(
        r"!?\[[^\]]*\]\([^)]*\)|`[^`]*`", lambda span: "x" * len(span[0]), line[start.end() if start else 0 :]
    )
    return shown.strip()


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=name)
def test_a_page_is_of_one_kind_and_says_so(page: Path) -> None:
    """Each page says in its first paragraph what kind it is, and lies in that kind's folder."""
    kind = page.relative_to(DOCS).parts[0]
    if page == DOCS / "README.md" or (page.parent.name == "decisions" and page.name != "README.md"):
        return
    paragraph = page.read_text().split("\n\n")[1]
    assert paragraph.startswith(KINDS[kind]), f"begin with {KINDS[kind]!r}"


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "README.md").read_text()
    pages = [
        page for page in DOCS.rglob("*.md") if page.parent.name != "decisions" and page.name != "README.md"
    ]
    assert [name(page) for page in pages if str(page.relative_to(DOCS)) not in index] == []


def test_every_decision_is_in_the_index_under_its_title() -> None:
    folder = DOCS / "explanation" / "decisions"
    index = (folder / "README.md").read_text()
    for record in sorted(folder.glob("0*.md")):
        title = record.read_text().partition("\n")[0].split(". ", 1)[1]
        assert f"[{title}]({record.name})" in index


def test_architecture_walks_every_package() -> None:
    text = (DOCS / "explanation" / "architecture.md").read_text()
    packages = [file.parent.name for file in ROOT.glob("*/__init__.py") if file.parent.name != "tests"]
    assert [one for one in packages if f"`{one}`" not in text] == []


def test_the_package_of_that_name_on_the_index_is_not_ours() -> None:
    """pip install hippocamp[...] would install somebody else's project."""
    told = re.compile(r"pip install ['\"]?hippocamp(?!-mri)")
    packages = [file.parent for file in ROOT.glob("*/__init__.py")]
    code = [file for package in packages for file in package.rglob("*") if file.suffix in {".py", ".html"}]
    files = [*PAGES, *code, *ROOT.glob("*/Dockerfile"), ROOT / "Makefile", ROOT / "pyproject.toml"]
    wrong = [name(file) for file in files if told.search(file.read_text())]
    assert [one for one in wrong if one != name(Path(__file__))] == []


def test_mermaid_and_tables_are_well_formed() -> None:
    """One sequence diagram, in the page that walks a job; every table row has as many cells as its head."""
    diagrams = [page for page in PAGES if "```mermaid" in page.read_text()]
    assert diagrams == [DOCS / "explanation" / "architecture.md"]
    reader = MarkdownIt().enable("table")
    for page in PAGES:
        kinds = {token.type for token in reader.parse(page.read_text())}
        assert ("table_open" in kinds) == bool(
            re.search(r"^\|[-| :]+\|$", prose(page.read_text()), re.MULTILINE)
        )
