# SPDX-License-Identifier: Apache-2.0
"""The file of a correction: what is written is read again, and whatever else is refused by name."""

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from correction_weights import JOINTS, correction_file, random_weights
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from so101_correction.core.correction_file import CorrectionFile, check, read, write
from so101_correction.errors import CorrectionFileError


def entries(file: CorrectionFile, path: Path) -> dict:
    write(path, file)
    with np.load(path) as archive:
        return dict(archive)


def put(path: Path, content: dict) -> Path:
    with path.open("wb") as stream:
        np.savez(stream, **content)
    return path


def earlier_file(cameras: tuple[str, ...] = ("top", "wrist")) -> CorrectionFile:
    """One that is shown an earlier frame."""
    return correction_file(cameras, weights=random_weights(len(cameras), channels=5), earlier_steps=3)


def random_weights_by_key() -> dict:
    """Those of a network without earlier frame, as keys of a file."""
    return {f"weights/{name}": weight for name, weight in random_weights().items()}


FILES = (correction_file(), correction_file(("front",)), correction_file(()), earlier_file(), earlier_file(("front",)))


@pytest.mark.parametrize("file", FILES)
def test_what_is_written_is_read_again(tmp_path: Path, file: CorrectionFile) -> None:
    write(tmp_path / "c.npz", file)
    again = read(tmp_path / "c.npz")
    assert set(again.weights) == set(file.weights)
    for name in file.weights:
        np.testing.assert_array_equal(again.weights[name], file.weights[name])
    for key in set(vars(file)) - {"weights"}:
        assert getattr(again, key) == getattr(file, key), key
    assert [path.name for path in tmp_path.iterdir()] == ["c.npz"]


def test_equal_corrections_give_equal_bytes(tmp_path: Path) -> None:
    file = correction_file()
    write(tmp_path / "a.npz", file)
    write(tmp_path / "b.npz", correction_file(weights=dict(reversed(file.weights.items()))))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_file_is_replaced_only_by_a_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.npz"
    write(path, correction_file())
    before = path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(CorrectionFileError, match=r"c\.npz: cannot be written: No space left"):
        write(path, correction_file(fps=10.0))
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorrectionFileError, match=r"none/c\.npz: cannot be written: No such file"):
        write(tmp_path / "none" / "c.npz", correction_file())


KEYS = ("fingerprint", "units", "cameras", "joint_names", "height", "width", "oldest_age_steps", "fps",
        "largest_delta_rad", "largest_change_rad", "format_version", "weights/mlp.0.bias")  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_a_missing_key_is_named_with_the_file(tmp_path: Path, key: str) -> None:
    content = entries(correction_file(), tmp_path / "c.npz")
    del content[key]
    with pytest.raises(CorrectionFileError, match=rf"c\.npz: (weight )?{key.removeprefix('weights/')}: missing"):
        read(put(tmp_path / "c.npz", content))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format_version", np.array(3), "format_version: expected 1 or 2, got 3"),
        ("format_version", np.array(2), "earlier_steps: missing"),
        ("earlier_steps", np.array(3), "earlier_steps: no key of format version 1"),
        ("format_version", np.array("1"), "format_version: expected a single whole number, got <U1"),
        ("fingerprint", np.array("abc"), "fingerprint: expected 64 hexadecimal digits, got 'abc'"),
        ("fingerprint", np.array(5), "fingerprint: expected a single text"),
        ("units", np.array("degrees"), "units: expected rad, got 'degrees'"),
        ("cameras", np.array(["top", "top"]), "cameras: expected different names, got top, top"),
        ("cameras", np.array(["top"]), "cameras: 1 named, but the weights are for 2"),
        ("cameras", np.array("top"), "cameras: expected a list of texts"),
        ("joint_names", np.array(["a", "b"]), "joint_names: 2 named, but the weights are for 6"),
        ("height", np.array(0), "height: expected 1 to 1024, got 0"),
        ("width", np.array(80.5), "width: expected a single whole number, got float64"),
        ("oldest_age_steps", np.array([54]), "oldest_age_steps: expected a single whole number"),
        ("fps", np.array(np.nan), "fps: expected above 0"),
        ("fps", np.array(0.0), "fps: expected above 0"),
        ("largest_delta_rad", np.array(-0.5), "largest_delta_rad: expected above 0"),
        ("largest_change_rad", np.array(np.inf), "largest_change_rad: expected above 0 and at most"),
        ("weights/mlp.4.bias", np.full(6, np.inf, np.float32), "mlp.4.bias: expected finite values, got 6"),
        ("weights/mlp.4.bias", np.zeros(5, np.float32), "mlp.4.bias: expected shape 6, got 5"),
        ("weights/mlp.9.bias", np.zeros(5, np.float32), "mlp.9.bias: expected no such weight"),
        ("trained/tasks", np.array(5), "trained/tasks: expected a single text"),
        ("extra", np.array(5), "extra: no key of format version 1"),
    ],
)
def test_a_wrong_value_is_named_with_the_file(tmp_path: Path, key: str, value: np.ndarray, message: str) -> None:
    content = entries(correction_file(), tmp_path / "c.npz") | {key: value}
    with pytest.raises(CorrectionFileError, match=rf"c\.npz: .*{message}"):
        read(put(tmp_path / "c.npz", content))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"earlier_steps": np.array(0)}, "earlier_steps: got 0, but the weights are with earlier frame"),
        ({"earlier_steps": np.array(101)}, "earlier_steps: expected 0 to 100, got 101"),
        ({"earlier_steps": np.array(2.5)}, "earlier_steps: expected a single whole number"),
        (random_weights_by_key(), "earlier_steps: got 3, but the weights are without earlier frame"),
    ],
)
def test_what_does_not_agree_about_the_earlier_frame_is_named(tmp_path: Path, changes: dict, message: str) -> None:
    content = entries(earlier_file(), tmp_path / "c.npz") | changes
    with pytest.raises(CorrectionFileError, match=rf"c\.npz: {message}"):
        read(put(tmp_path / "c.npz", content))


def test_only_a_file_with_an_earlier_frame_is_of_the_newer_version(tmp_path: Path) -> None:
    assert entries(correction_file(), tmp_path / "c.npz")["format_version"] == 1
    assert entries(earlier_file(), tmp_path / "c.npz")["format_version"] == 2


def test_a_whole_number_is_good_for_a_rate(tmp_path: Path) -> None:
    content = entries(correction_file(), tmp_path / "c.npz") | {"fps": np.array(30)}
    assert read(put(tmp_path / "c.npz", content)).fps == 30.0


class Bomb:
    """Runs something when it is unpickled."""

    def __reduce__(self) -> tuple:
        return (pytest.fail, ("unpickled",))


def object_array() -> np.ndarray:
    array = np.empty(1, object)
    array[0] = Bomb()
    return array


def single_array() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.zeros(3))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected an .npz, got an empty file"),
        (b"hello", "expected an .npz, got something else"),
        (pickle.dumps({"fps": 30}), "expected an .npz, got pickled content, which is never read"),
        (single_array(), "expected an .npz, got an .npy of one array"),
    ],
)
def test_what_is_no_npz_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "c.npz").write_bytes(content)
    with pytest.raises(CorrectionFileError, match=rf"c\.npz: {message}"):
        read(tmp_path / "c.npz")


def test_pickled_content_inside_is_refused_and_never_run(tmp_path: Path) -> None:
    content = entries(correction_file(), tmp_path / "c.npz") | {"weights/mlp.0.bias": object_array()}
    with pytest.raises(CorrectionFileError, match=r"c\.npz: weights/mlp.0.bias.npy: .* pickled"):
        read(put(tmp_path / "c.npz", content))
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as archive:
        archive.writestr("fps.npy", pickle.dumps(Bomb()))
    with pytest.raises(CorrectionFileError, match=r"d\.npz: fps.npy: .* pickled"):
        read(tmp_path / "d.npz")


def test_a_file_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "c.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("fps.npy", bytes(65_000_000))
    with pytest.raises(CorrectionFileError, match="expected at most 64000000 bytes unpacked, got 65000000"):
        read(tmp_path / "c.npz")


def test_no_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(CorrectionFileError, match=r"c\.npz: cannot be read: No such file"):
        read(tmp_path / "c.npz")
    with pytest.raises(CorrectionFileError, match="cannot be read: Is a directory"):
        read(tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_a_cut_or_damaged_file_is_refused_or_reads_the_same(tmp_path: Path, data: st.DataObject) -> None:
    """A flipped bit may lie in what nobody reads, such as the date of a member."""
    file = correction_file((), weights=random_weights(0, units=(3, 2)))
    path = tmp_path / "c.npz"
    write(path, file)
    whole = bytearray(path.read_bytes())
    if data.draw(st.booleans(), "cut"):
        path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
        with pytest.raises(CorrectionFileError, match=r"c\.npz"):
            read(path)
        return
    whole[data.draw(st.integers(0, len(whole) - 1), "at")] ^= 1 << data.draw(st.integers(0, 7), "bit")
    path.write_bytes(whole)
    try:
        again = read(path)
    except CorrectionFileError:
        return
    assert again.joint_names == JOINTS and again.fps == 30.0
    for name in file.weights:
        np.testing.assert_array_equal(again.weights[name], file.weights[name])


RIGHT = {"fingerprint": "0123456789abcdef" * 4, "cameras": ("wrist", "top", "side"), "joint_names": JOINTS, "fps": 30.0}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({}, ""),
        ({"fingerprint": "f" * 64}, "another policy: expected fingerprint 0123456789ab, the policy's is ffffffffffff"),
        ({"fingerprint": ""}, "expected fingerprint 0123456789ab, the policy has none"),
        ({"cameras": ("top", "side")}, "reads cameras top, wrist: no wrist among top, side"),
        ({"cameras": ()}, "no top, wrist among none"),
        ({"joint_names": JOINTS[::-1]}, "expected pan, lift, elbow, flex, roll, gripper, got gripper, roll"),
        ({"joint_names": JOINTS[:5]}, "correction for other joints"),
        ({"fps": 15.0}, "another rate: expected 30 Hz, got 15 Hz"),
    ],
)
def test_what_does_not_fit_the_robot_or_its_policy_is_named_in_one_line(change: dict, line: str) -> None:
    said = check(correction_file(), **{**RIGHT, **change})
    assert (said == "") == (line == "") and line in said and "\n" not in said


def test_a_blind_correction_needs_no_camera() -> None:
    assert check(correction_file(()), **{**RIGHT, "cameras": ()}) == ""
