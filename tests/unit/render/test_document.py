"""One document, in every form that it is written in."""

import re
import subprocess
import sys

import pytest

from ablate.render.document import (
    Block,
    Clip,
    Clips,
    Document,
    Drawing,
    Drawings,
    Entries,
    Entry,
    Heading,
    Items,
    Notes,
    Paragraph,
    Section,
    Sound,
    Tables,
    to_html,
    to_latex,
    to_markdown,
    to_plain,
    to_terminal,
)
from ablate.render.tables import Cell, Column, Table
from dashboards.page import to_page

LOSSES = Table(
    "Losses",
    (Column("loss"), Column("value", is_number=True)),
    ((Cell("l1"), Cell("0.25", 0.25, "bad")), (Cell("total"), Cell("1.5", 1.5))),
    notes=("of two runs",),
)
CHANGES = Table("Changes", (Column("changed"),), ((Cell("l1"),),), topic="changes")
ENTRIES = Entries(
    (
        Entry(title="base", badge="passed", tone="good", subtitle="3 runs", lines=("met",)),
        Entry(title="loud", badge="failed", tone="bad", lines=tuple(f"why {i}" for i in range(7))),
    )
)
ALL = Document(
    title="scale-fix",
    question="What keeps the level?",
    answer=("The louder one does, and nothing that was tried besides keeps it for long.",),
    headline="Compared at step 20",
    warning="At step 10 of 20",
    sections=(
        Section(blocks=(Tables((LOSSES, CHANGES)),)),
        Section(title="Verdicts", blocks=(ENTRIES,)),
        Section(
            title="loud",
            badge="failed",
            tone="bad",
            blocks=(Heading("Diagnosis"), Items(("too loud", "too long"))),
        ),
        Section(
            title="To look at",
            summary="2 things",
            blocks=(
                Drawings((Drawing("f1", "Curves of l1", 340, '{"data":[]}'),)),
                Clips((Clip(title="u0", picture="", sounds=(Sound("output", "data:,x"),)),)),
            ),
        ),
        Section(blocks=(Notes(("one run differs",)), Paragraph(("By seed.", "By step.")))),
    ),
)
TEXTS = {
    "plain": to_plain(ALL),
    "terminal": to_terminal(ALL, 60, color=False),
    "markdown": to_markdown(ALL),
    "html": to_html(ALL),
    "page": to_page(ALL, ("#111111", "#222222")),
}


@pytest.mark.parametrize("form", TEXTS)
@pytest.mark.parametrize(
    "said",
    [
        *("scale-fix", "What keeps the level?", "Compared at step 20", "Losses", "0.25"),
        *(
            "The louder one does",
            "of two runs",
            "Changes",
            "base",
            "passed",
            "met",
            "why 0",
            "Diagnosis",
            "too long",
        ),
        *("one run differs", "By seed.", "By step."),
    ],
)
def test_what_is_said_is_in_every_form(form, said):
    text = re.sub(r"\\(.)", r"\1", TEXTS[form]) if form == "markdown" else TEXTS[form]

    assert said in text


def test_plain_text_keeps_a_table_apart_and_lines_together():
    assert TEXTS["plain"] == (
        "At step 10 of 20\nscale-fix\nWhat keeps the level?\n"
        "- The louder one does, and nothing that was tried besides keeps it for long.\n"
        "Compared at step 20\n\n"
        "Losses\nloss   value\nl1      0.25\ntotal    1.5\nof two runs\n\n"
        "Changes\nchanged\nl1\n\n"
        "Verdicts\nbase: passed\n  - met\nloud: failed\n"
        + "".join(f"  - why {i}\n" for i in range(7))
        + "\nloud: failed\nDiagnosis\n- too loud\n- too long\n\n"
        "To look at\n\n"
        "- one run differs\nBy seed.\nBy step."
    )


def test_markdown_nests_its_headings_below_the_given_level():
    headings = [line for line in to_markdown(ALL, level=2).splitlines() if line.startswith("#")]

    assert headings == [
        *("## scale-fix", "### Losses", "### Changes", "### Verdicts"),
        *("### loud: failed", "#### Diagnosis", "### To look at"),
    ]


def test_markdown_writes_items_as_a_list_and_a_paragraph_in_one_line():
    text = TEXTS["markdown"]

    assert text.startswith("**At step 10 of 20**\n\n# scale-fix\n")
    assert "\nCompared at step 20.\n" in text
    assert "\n- **base: passed** (3 runs)\n  - met\n\n- **loud: failed**\n  - why 0\n" in text
    assert "\n- too loud\n- too long\n" in text
    assert text.endswith("\n- one run differs\n\nBy seed. By step.")


def test_terminal_wraps_behind_bullets_and_cuts_nothing():
    lines = TEXTS["terminal"].splitlines()

    assert max(map(len, lines)) <= 60
    at = lines.index("- The louder one does, and nothing that was tried besides")
    assert lines[at + 1] == "  keeps it for long."
    assert all(f"  - why {i}" in lines for i in range(7))


def test_terminal_has_colours_only_where_asked():
    assert "\x1b[" not in TEXTS["terminal"]
    assert "\x1b[1;31m  failed\x1b[0m" in to_terminal(ALL, 60, color=True)


def test_latex_has_a_caption_for_each_table():
    latex = to_latex(ALL)

    first = "At step 10 of 20. scale-fix"
    assert re.findall(r"\\caption\{(.*)\}", latex) == [f"{first}: Losses.", f"{first}: Changes."]
    assert latex.count("\n\\par\\small Compared at step 20.\n") == 2
    assert latex.count("\n\\par\\small By seed. By step.\n\\end{table}") == 2


def test_page_shows_figures_sounds_and_folds_what_asks_for_it():
    page = TEXTS["page"]

    assert "<details>\n<summary>2 things</summary>" in page
    assert '<div class="figure" id="f1" role="img" aria-label="Curves of l1"' in page
    assert '<script type="application/json" id="f1-data">{"data":[]}</script>' in page
    assert '<label>output <audio controls preload="metadata" src="data:,x">' in page
    assert ".look1 { background: #222222; }" in page


@pytest.mark.parametrize("form", ["plain", "terminal", "markdown", "html"])
def test_forms_without_pictures_leave_them_out(form):
    assert "Curves of l1" not in TEXTS[form]
    assert "data:,x" not in TEXTS[form]


@pytest.mark.parametrize(
    "block", [Items(()), Notes(()), Entries(()), Tables(()), Drawings(()), Clips(())]
)
def test_an_empty_block_leaves_no_trace(block: Block):
    def document(*blocks: Block) -> Document:
        sections = (Section(blocks=(*blocks, Items(("after",)))),)
        return Document(title="t", question="", headline="h", sections=sections)

    for writer in (to_plain, to_markdown, to_latex, lambda d: to_page(d, ())):
        assert writer(document(block)) == writer(document())


@pytest.mark.parametrize("name", ["<b>x</b>", "[red]x[/red]", "a|b_c*d", "\x1b[2Jx", "a\nb"])
def test_names_of_strangers_do_nothing_in_any_form(name):
    document = Document(
        title=name,
        question=name,
        headline=name,
        warning=name,
        sections=(
            Section(
                title=name,
                badge=name,
                summary=name,
                blocks=(
                    Heading(name),
                    Items((name,)),
                    Notes((name,)),
                    Paragraph((name,)),
                    Entries((Entry(title=name, badge=name, tone="bad", lines=(name,)),)),
                ),
            ),
        ),
    )

    texts = [to_plain(document), to_terminal(document, 60, color=False), to_markdown(document)]
    pages = [to_html(document), to_page(document, ("#111111",))]

    assert not any("\x1b" in text or "a\nb" in text for text in (*texts, *pages))
    assert not any("<b>" in text for text in (texts[2], *pages))
    if name.startswith("["):
        assert all(name in text for text in texts[:2])


def test_plain_text_and_markdown_load_no_library_of_terminals_or_pages():
    code = (
        "import sys; from ablate.render import document as d;"
        "doc = d.Document(title='t', question='', headline='h',"
        " sections=(d.Section(blocks=(d.Items(('x',)),)),));"
        "d.to_plain(doc), d.to_markdown(doc), d.to_html(doc);"
        "print([m for m in ('rich', 'jinja2', 'plotly') if m in sys.modules])"
    )

    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert loaded.stdout.strip() == "[]"
