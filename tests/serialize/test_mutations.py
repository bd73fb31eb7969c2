"""A file with a flipped, lost or added byte anywhere either loads or is refused by name: nothing else, ever."""

import os
import zipfile

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import tinytensor as tt
from tinytensor.serialize import load_metadata

MUTATIONS = int(os.environ.get("TINYTENSOR_MUTATIONS", 1000))  # of each format, shared out


def _content(folder, name, write):
    write(folder / name)
    return (folder / name).read_bytes()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A file of each format, and one to write mutations to."""
    folder = tmp_path_factory.mktemp("mutations")
    state = {"a": np.arange(5.0), "b.c": np.ones((2, 3), np.float32), "n": np.array(7), "m": np.array([True, False])}
    nested = {"model": {**state, 3: np.float32(1)}, "log": [1.5, float("nan"), None, "é"], "at": (2**70, -1)}
    return folder / "mutated", {
        "flat": _content(folder, "flat", lambda path: tt.save(state, path, {"note": "x"})),
        "nested": _content(folder, "nested", lambda path: tt.save(nested, path)),
        "npz": _content(folder, "state.npz", lambda path: tt.save(state, path)),
        "packed": _content(folder, "packed.npz", lambda path: np.savez_compressed(path, **state)),
    }


mutation = st.tuples(
    st.sampled_from(["set", "flip", "cut", "insert", "repeat", "end"]),
    st.integers(0, 4000),
    st.integers(1, 12),
    st.binary(min_size=1, max_size=8) | st.sampled_from([b"{", b"}", b"[", b'"', b"-", b"9", b"1e9", b"null", b"\xff"]),
)


def mutated(content, changes):
    for kind, at, length, new in changes:
        at %= len(content) + 1
        if kind == "set":
            content = content[:at] + new + content[at + len(new) :]
        elif kind == "flip":
            content = content[:at] + bytes(byte ^ 1 << length % 8 for byte in content[at : at + 1]) + content[at + 1 :]
        elif kind == "cut":
            content = content[:at] + content[at + length :]
        elif kind == "insert":
            content = content[:at] + new + content[at:]
        elif kind == "repeat":
            content = content[: at + length] + content[at:]
        else:
            content = content[:at]
    return content


@pytest.mark.parametrize("case", ["flat", "nested", "npz", "packed"])
def test_mutations_load_or_are_refused(files, case):
    path, contents = files
    seen = {"loaded": 0, "refused": 0}

    @settings(max_examples=MUTATIONS // 4, deadline=None, database=None)
    @given(st.lists(mutation, min_size=1, max_size=3))
    @example([("flip", len(contents[case]), 1, b"x")])  # no change
    @example([("end", 0, 1, b"x")])
    def check(changes):
        path.write_bytes(mutated(contents[case], changes))
        for read in (tt.load, load_metadata):
            try:
                value = read(path)
            except ValueError as error:
                assert str(error).startswith(f"{path}: ") and len(str(error)) < 1000
                seen["refused"] += 1
            else:
                seen["loaded"] += 1
                assert read is tt.load or all(type(text) is str for pair in value.items() for text in pair)

    check()
    assert seen["loaded"] and seen["refused"]


def test_every_single_byte_of_a_header_matters_or_not_but_never_crashes(files):
    path, contents = files
    for content, step in ((contents["nested"], 4), (contents["npz"], 9)):
        for at in range(0, len(content), step):
            path.write_bytes(content[:at] + bytes([content[at] ^ 0x15]) + content[at + 1 :])
            try:
                tt.load(path)
            except ValueError as error:
                assert str(error).startswith(f"{path}: ")


def test_an_unpacked_size_that_lies_is_found(files):
    path, contents = files
    content = bytearray(contents["packed"])
    with zipfile.ZipFile(path.with_name("packed.npz")) as archive:
        info = archive.infolist()[0]
    at = content.rindex(b"PK\1\2" + content[content.index(b"PK\1\2") + 4 : content.index(b"PK\1\2") + 20])
    assert int.from_bytes(content[at + 24 : at + 28], "little") == info.file_size
    content[at + 24 : at + 28] = (info.file_size + 8).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(ValueError, match="damaged or not an"):
        tt.load(path)
