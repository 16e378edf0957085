import io

from sp_search.published.meter import Meter


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(stream, *received):
    with Meter("km.bin", stream) as meter:
        for size in received:
            meter.show(size, 2_000_000)
    return stream.getvalue()


def test_elsewhere_a_download_is_a_line_at_its_start_and_one_at_its_end():
    assert shown(io.StringIO(), 0, 1_000_000, 2_000_000) == (
        "downloading km.bin of 2.0 MB\ndownloaded km.bin: 2.0 MB in 0 s\n"
    )


def test_what_is_taken_up_is_told():
    assert shown(io.StringIO(), 500_000, 2_000_000).startswith("downloading km.bin of 2.0 MB, 500.0 kB are here\n")


def test_on_a_terminal_a_bar_says_how_much_has_come(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    drawn = shown(Terminal(), 0, 2_000_000)
    assert "2.0/2.0 MB" in drawn
    assert "downloading" not in drawn


def test_a_download_that_fails_is_not_called_done():
    stream = io.StringIO()
    try:
        with Meter("km.bin", stream) as meter:
            meter.show(0, None)
            raise KeyError
    except KeyError:
        assert stream.getvalue() == "downloading km.bin\n"
