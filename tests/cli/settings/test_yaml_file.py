"""YAML files of users: read as OmegaConf reads them, and refused where they repeat a key or grow without bound."""

import re
import resource

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sp_search.cli.settings.yaml_file import read_yaml
from sp_search.errors import ConfigError

NINE_TIMES_NINE = "a0: &a0 [x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)  # known as "billion laughs"
REFERENCES = "a0: xxxxxxxxxx\n" + "".join(f"a{n}: {f'${{.a{n - 1}}}' * 9}\n" for n in range(1, 10))
MERGED = "a0: &a0 {x: 1}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 10)
)


@pytest.fixture
def little_memory():
    before = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + (1 << 29), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (NINE_TIMES_NINE, ": expected up to 10,000 values, got 926,177,116 with aliases (*name) written out"),
        (MERGED, ": expected up to 10,000 values, got 1,470,987,176 with aliases (*name) written out"),
        (REFERENCES, ": expected up to 20 references (${name}), got 81"),
        (
            "a: &a [*a]\n",
            ": expected aliases (*name) of what comes before them, got one inside of what it stands for",
        ),
    ],
    ids=["aliases", "merges", "references", "itself"],
)
def test_a_file_that_grows_without_bound_is_refused_before_it_does(tmp_path, little_memory, text, message):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="^" + re.escape(f"{path}{message}") + "$"):
        read_yaml(path, "ranges")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr: 1\nside: top\nlr: 2\n", " line 3: expected each key once, got lr again, as in line 1"),
        ("confirm: {top: 1, top: 1}\n", " line 1: expected each key once, got top again, as in line 1"),
        ("a:\n  - b: 1\n    b: 2\n", " line 3: expected each key once, got b again, as in line 2"),
        ('1: 2\n"1": 3\n', " line 2: expected each key once, got 1 again, as in line 1"),
        ("lr: 1\n\tside: top\n", " line 2: expected a YAML file of ranges, got found character '\\t' that cannot"),
        ("a: 1\n---\nb: 1\n", " line 2: expected a YAML file of ranges, got but found another document"),
        ("- a\n", ": expected a mapping of ranges, got a list"),
        ("7 12 <s> on\n3 <s> off\n", ": expected a mapping of ranges, got text"),
        (
            "a: !!python/object/apply:os.getcwd []\n",
            " line 1: expected a YAML file of ranges, got could not determine",
        ),
    ],
)
def test_a_fault_is_told_with_its_line(tmp_path, text, message):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="^" + re.escape(f"{path}{message}")):
        read_yaml(path, "ranges")


def test_bytes_that_are_no_text_are_refused_with_their_line(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"lr: 1\n\xff")
    with pytest.raises(ConfigError, match=r"a\.yaml line 2: expected text \(UTF-8\), got byte 0xff"):
        read_yaml(tmp_path / "a.yaml", "ranges")


def test_aliases_merges_and_references_of_a_sane_file_are_taken(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("lr: &lr {float: [1, 2]}\nother: *lr\nthird: {<<: *lr, log: true}\nname: x${.lr}\n")
    wide = {"float": [1, 2]}
    assert read_yaml(path, "ranges") == {"lr": wide, "other": wide, "third": {**wide, "log": True}, "name": "x${.lr}"}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.sampled_from("ab 1:{}*&"), max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.text("abc", min_size=1), VALUES, max_size=4), st.booleans())
def test_what_yaml_writes_is_read_back(tmp_path_factory, values, flow):
    path = tmp_path_factory.mktemp("yaml") / "a.yaml"
    path.write_text(yaml.safe_dump(values, default_flow_style=flow))
    assert read_yaml(path, "ranges") == values


@settings(max_examples=500, deadline=None)
@given(st.text(st.sampled_from("ab1:- \n{}[],*&!?|>'\"#%@$\t"), max_size=40))
def test_any_text_is_a_mapping_or_refused_in_one_line(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("yaml") / "a.yaml"
    path.write_text(text)
    told = str(path)
    try:
        read_yaml(path, "ranges")
    except ConfigError as error:
        told = str(error)
    assert told.startswith(str(path))
    assert "\n" not in told
