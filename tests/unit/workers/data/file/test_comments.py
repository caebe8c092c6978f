"""Comments, footers and empty lines of text files: none takes a row with it, unsaid."""

from __future__ import annotations

import pytest

from tests.support.files import stamp, table
from workers.data.file.rows import Reason

PLAIN = "time,flow\n2026-01-01,1\n2026-01-02,2\n"


def flows(history):
    """Values of the first channel of the only sensor."""
    (one,) = history.sensors
    return one.values[:, 0].tolist()


def test_blank_lines_and_comments_are_no_rows_and_a_hash_in_a_value_is_none(read):
    text = '# a plant\ntime,note,flow\n\n2026-01-01,a#b,1\n# calibrated\n2026-01-02,"#x",2\n\n'

    history = read(text, ignore="note", comment="#")

    assert flows(history) == [1.0, 2.0]
    assert history.read == 2


def test_a_line_that_a_hash_begins_below_the_names_is_a_row(read):
    """The first column may hold #N/A, or ids such as #1: of 20 rows none may be gone unsaid."""
    lines = [f"{'#N/A' if i % 4 == 0 else i},{stamp(i)}" for i in range(20)]

    history = read("# exported\nflow,time\n" + "\n".join(lines))
    ids = read(f"# exported\nsensor,time,flow\n#1,{stamp(0)},1\n#2,{stamp(0)},2\n")

    assert (history.read, len(history)) == (20, 20)
    assert [one.sensor for one in ids.sensors] == ["#1", "#2"]


def test_a_comment_between_rows_is_counted_and_the_option_named(read):
    lines = [f"{stamp(i)},{i}" for i in range(20)]
    lines.insert(5, "# restart")

    history = read("# exported\ntime,flow\n" + "\n".join(lines))

    assert history.left_out == {(Reason.FIELDS, ""): 1}
    assert any("--comment '#'" in note for note in history.notes)


def test_a_comment_mark_of_their_own_is_left_out_and_counted(read):
    history = read("% made by X\n" + PLAIN + "%end\n", comment="%")

    assert flows(history) == [1.0, 2.0]
    assert "left out: 1 line of comments (%) below the names" in history.notes


@pytest.mark.parametrize("end", ["\nTotal rows: 20", "\n\nTotal rows: 20\n"])
def test_a_footer_below_an_empty_line_is_one_row_too_few(read, end):
    text = table([["time", "flow"], *[[stamp(i), i] for i in range(20)]])

    history = read(text + end)

    assert (len(history), history.left_out) == (20, {(Reason.FIELDS, ""): 1})
