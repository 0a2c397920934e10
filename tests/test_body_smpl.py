"""Bodies: the mannequin is a proper one, licensed files are read in every form they come in, hostile ones refused."""

import os
import pickle
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import smplx
import torch
from scipy import sparse

from scamo.body.mannequin import mannequin, rest_joints
from scamo.body.smpl import Body, load_body
from scamo.skeleton import REST_OFFSETS

from .motions import ALL, walk


@pytest.fixture(scope="module")
def body() -> Body:
    return load_body()


def test_mannequin_has_smpls_layout() -> None:
    data = mannequin()
    vertices, faces, weights = data["v_template"], data["f"], data["weights"]
    assert vertices.shape == (6890, 3)
    assert faces.shape == (13776, 3)
    assert weights.shape == (6890, 24)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert (weights >= 0).all()
    assert (weights > 0).sum(axis=1).max() <= 4  # what a glTF vertex holds
    np.testing.assert_allclose(data["J_regressor"] @ vertices, rest_joints(), atol=1e-9)
    np.testing.assert_allclose(data["J_regressor"].sum(axis=1), 1, atol=1e-9)


def test_mannequin_is_one_closed_skin_of_human_size() -> None:
    vertices, faces = mannequin()["v_template"], mannequin()["f"]
    edges = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    unique, counts = np.unique(edges, axis=0, return_counts=True)
    assert (counts == 2).all()
    assert len(vertices) - len(unique) + len(faces) == 2  # a sphere's topology
    a, b, c = vertices[faces].transpose(1, 0, 2)
    volume = (a * np.cross(b, c)).sum() / 6
    assert 0.055 < volume < 0.085  # so many litres, and positive: triangles look outwards
    height, span = np.ptp(vertices[:, 1]), np.ptp(vertices[:, 0])
    assert 1.6 < height < 1.9
    assert 0.9 < span / height < 1.05
    assert (np.linalg.norm(np.cross(b - a, c - a), axis=-1) > 1e-7).all()


@pytest.mark.parametrize("name", ALL)
def test_joints_through_smplx_meet(body: Body, name: str) -> None:
    joints = ALL[name](20)
    pose = body.fit(joints)
    vectors, moves = body.parameters(pose)
    out = body.model(
        betas=torch.zeros(20, 2),
        global_orient=torch.tensor(vectors[:, :3], dtype=torch.float32),
        body_pose=torch.tensor(vectors[:, 3:], dtype=torch.float32),
        transl=torch.tensor(moves, dtype=torch.float32),
    )
    assert np.abs(out.joints[:, :22].numpy() - joints).max() < 1e-3
    np.testing.assert_allclose(body.posed_joints(pose), joints, atol=1e-6)
    vertices = np.concatenate(list(body.vertices(pose)))
    assert np.abs(vertices - out.vertices.numpy()).max() < 1e-6
    assert vertices.dtype == np.float32


def test_skin_stays_near_its_bones(body: Body) -> None:
    pose = body.fit(walk(20))
    vertices, joints = next(iter(body.vertices(pose))), body.posed_joints(pose)
    near = np.linalg.norm(vertices[:, :, None] - joints[:, None], axis=-1).min(axis=2)
    assert near.max() < 0.25


def test_long_motions_come_in_pieces(body: Body) -> None:
    pieces = [len(piece) for piece in body.vertices(body.fit(walk(130)))]
    assert pieces == [64, 64, 2]


def test_shape_parameters_change_size_and_girth(body: Body) -> None:
    tall = load_body(betas=np.array([2.0]))
    assert np.ptp(tall.template[:, 1]) == pytest.approx(1.1 * np.ptp(body.template[:, 1]), rel=1e-3)
    assert np.ptp(load_body(betas=np.array([0.0, 3.0])).template[:, 2]) > np.ptp(body.template[:, 2]) + 0.03
    pose = tall.fit(walk(5))
    np.testing.assert_allclose(pose.root[:, 1], 1.1 * walk(5)[:, 0, 1], rtol=1e-3)  # feet stay on the floor
    with pytest.raises(ValueError, match="at most 2"):
        load_body(betas=np.ones(3))


def test_what_a_body_cannot_wear(body: Body) -> None:
    for bad, word in (
        (np.zeros((0, 22, 3)), "no frames"),
        (np.full((2, 22, 3), np.nan), "NaN"),
        (np.zeros(3), "22, 3"),
    ):
        with pytest.raises(ValueError, match=word):
            body.fit(bad)


# --- files --------------------------------------------------------------------------------------------------------


def fake(bones: int = 24, vertices: int = 6890) -> dict[str, Any]:
    """Arrays as a licensed file holds them; SMPL-H has 52 bones, SMPL-X 55."""
    data: dict[str, Any] = {key: np.array(value) for key, value in mannequin().items()}
    extra, more = bones - 24, vertices - 6890
    parents = np.concatenate([data["kintree_table"][0], np.full(extra, 20)]).astype(np.uint32)
    parents[0] = 4294967295
    data["kintree_table"] = np.stack([parents, np.arange(bones, dtype=np.uint32)])
    data["v_template"] = np.pad(data["v_template"], ((0, more), (0, 0)))
    data["weights"] = np.pad(data["weights"], ((0, 0), (0, extra)))
    data["weights"] = np.concatenate([data["weights"], np.tile(np.eye(bones)[0], (more, 1))])
    data["J_regressor"] = np.pad(data["J_regressor"], ((0, extra), (0, more)))
    data["shapedirs"] = np.pad(data["shapedirs"], ((0, more), (0, 0), (0, 8)))
    data["posedirs"] = np.zeros((vertices, 3, 9 * (bones - 1)), dtype=np.float32)
    data["f"] = data["f"].astype(np.uint32)
    if bones > 24:
        data |= {"hands_meanl": np.full(45, 0.1), "hands_meanr": np.full(45, -0.1)}
    return data


@pytest.mark.parametrize(
    ("bones", "vertices", "kind"), [(24, 6890, "SMPL"), (52, 6890, "SMPL-H"), (55, 10475, "SMPL-X")]
)
def test_npz_files_of_the_family(tmp_path: Path, bones: int, vertices: int, kind: str, capsys: Any) -> None:
    path = tmp_path / "SMPL_FEMALE.npz"
    np.savez(path, **fake(bones, vertices), junk=np.array({"an": "object"}, dtype=object))
    body = load_body(path)
    assert (body.kind, body.gender, len(body.betas)) == (kind, "female", 10)
    assert len(next(iter(body.vertices(body.fit(walk(2)))))[0]) == vertices
    assert np.abs(body.posed_joints(body.fit(walk(2))) - walk(2)).max() < 1e-6
    assert body.parameters(body.fit(walk(2)))[0].shape == (2, 3 * bones)
    assert (np.abs(body.hands[-30:]).max() > 0) == (bones > 24)
    assert not capsys.readouterr().out


@pytest.mark.parametrize("protocol", [2, 4])
def test_original_pickles_without_chumpy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int) -> None:
    """As SMPL 1.0 is delivered: arrays in chumpy's clothes, a sparse regressor, and matter that nobody needs."""
    chumpy = types.ModuleType("chumpy.ch")
    chumpy.Ch = type("Ch", (), {"__module__": "chumpy.ch"})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "chumpy", types.ModuleType("chumpy"))
    monkeypatch.setitem(sys.modules, "chumpy.ch", chumpy)
    data: dict[str, Any] = fake()
    data["J_regressor"] = sparse.csc_matrix(data["J_regressor"])
    for key in ("shapedirs", "v_template"):
        wrapped = chumpy.Ch()
        wrapped.__dict__ |= {"x": data[key], "_dirty_vars": set(), "_itr": None}
        data[key] = wrapped
    data |= {"bs_type": "lrotmin", "vert_sym_idxs": np.arange(5), "pose_training_info": {"any": [1, np.float32(2)]}}
    path = tmp_path / "basicModel_m_lbs_10_207_0_v1.0.0.pkl"
    path.write_bytes(pickle.dumps(data, protocol=protocol))
    monkeypatch.undo()
    body = load_body(path)
    assert (body.kind, body.gender) == ("SMPL", "male")
    np.testing.assert_allclose(body.joints, rest_joints(), atol=1e-6)


def test_a_folder_of_genders(tmp_path: Path) -> None:
    data = fake()
    np.savez(tmp_path / "SMPL_MALE.npz", **data)
    assert load_body(tmp_path).gender == "male"  # the only one
    with pytest.raises(ValueError, match="No female body"):
        load_body(tmp_path, gender="female")
    data["v_template"] *= 0.9
    (tmp_path / "neutral").mkdir()
    np.savez(tmp_path / "neutral" / "model.npz", **data)
    assert load_body(tmp_path).gender == "neutral"
    assert load_body(tmp_path, gender="male").gender == "male"
    with pytest.raises(ValueError, match="neutral, female, male"):
        load_body(tmp_path, gender="other")


class Bomb:
    def __init__(self, call: Any, *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> Any:
        return self.call, self.arguments


@pytest.mark.parametrize(
    "bomb",
    [
        Bomb(os.system, "touch exploded"),
        Bomb(eval, "open('exploded', 'w')"),
        Bomb(np.ndarray, (10**11,)),
        Bomb(np.load, "exploded"),
        Bomb(sparse.csc_matrix, (10**9, 10**9)),
    ],
)
def test_pickle_bombs_do_not_go_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bomb: Bomb) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in (("a.pkl", bomb), ("b.pkl", {**fake(), "J_regressor": bomb})):
        (tmp_path / name).write_bytes(pickle.dumps(content, protocol=2))
        with pytest.raises(ValueError, match="mannequin"):
            load_body(tmp_path / name)
    assert not (tmp_path / "exploded").exists()


def test_npz_with_pickles_inside_or_a_zip_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data: dict[str, Any] = fake()
    data["weights"] = np.array(Bomb(os.system, "touch exploded"), dtype=object)
    np.savez(tmp_path / "a.npz", **data)
    with pytest.raises(ValueError, match="weights: it holds a pickle"):
        load_body(tmp_path / "a.npz")
    assert not (tmp_path / "exploded").exists()
    monkeypatch.setattr("scamo.body.smpl_files._MOST_BYTES", 1 << 20)
    with zipfile.ZipFile(tmp_path / "b.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("weights.npy", bytes(2 << 20))
    with pytest.raises(ValueError, match="unpacks to more than 1 MiB"):
        load_body(tmp_path / "b.npz")


def test_a_refusal_repeats_no_page_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "SMPL_MALE.pkl"
    path.write_bytes(b"cos" + b"[" * 3000 + b"\nsystem\n.")
    with pytest.raises(ValueError, match=r"SMPL_MALE\.pkl.*mannequin") as caught:
        load_body(path)
    assert len(str(caught.value)) < 800


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"PK\x03\x04broken", pickle.dumps([1, 2]), pickle.dumps({"a": 1})]
)
def test_damaged_files_say_where_good_ones_are(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "SMPL_NEUTRAL.pkl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"smpl\.is\.tue\.mpg\.de"):
        load_body(path)


@pytest.mark.parametrize(
    ("key", "value", "word"),
    [
        ("weights", np.zeros((6890, 10)), "weights"),
        ("v_template", np.full((6890, 3), np.nan), "NaN"),
        ("f", np.full((13776, 3), 9999), "triangles"),
        ("kintree_table", np.zeros((2, 24), dtype=int), "another tree"),
        ("posedirs", np.zeros((6890, 3, 5)), "posedirs"),
        ("shapedirs", np.array("text"), "numbers"),
        ("f", np.zeros((0, 3), dtype=np.uint32), "f is empty"),
        ("weights", np.array(0.5), "weights is empty or a single number"),
    ],
)
def test_wrong_arrays_are_named(tmp_path: Path, key: str, value: np.ndarray, word: str) -> None:
    np.savez(tmp_path / "x.npz", **{**fake(), key: value})
    with pytest.raises(ValueError, match=word):
        load_body(tmp_path / "x.npz")


def tuples_as_keys() -> bytes:
    """A dictionary whose key is a tuple of a tuple twice, and so on: its hash would take 2 ** 40 steps."""
    key: Any = (1,)
    for _ in range(40):
        key = (key, key)
    return b"\x80\x02}" + pickle.dumps(key, protocol=2)[2:-1] + b"K\x01s."


def lists_of_lists() -> bytes:
    """A list of a list twice, and so on: as an array it would have 2 ** 40 numbers."""
    value: Any = [0.0]
    for _ in range(40):
        value = [value, value]
    return pickle.dumps({"weights": value}, protocol=2)


def indices_outside() -> bytes:
    """A sparse matrix whose numbers stand far outside it."""
    data = fake()
    matrix = sparse.csc_matrix(data["J_regressor"])
    matrix.indices = np.full_like(matrix.indices, 10**9)
    return pickle.dumps({**data, "J_regressor": matrix}, protocol=2)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x80\x02Nr\xff\xff\xff\x7f.", "memory index jumps"),
        (b"\x80\x02Np4000000000\n.", "memory index jumps"),
        (b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x00N.", "cannot be read"),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x00N.", "cannot be read"),
        (tuples_as_keys(), "nests tuples"),
        (lists_of_lists(), "weights is no array"),
        (b"\x80\x02K\x012.", "command DUP"),
        (pickle.dumps({"weights": np.array([[1], "a"], dtype=object)}, protocol=2), "odd (form|type)"),
    ],
    ids=["index", "index as text", "frame", "bytes", "tuples", "lists", "command", "objects"],
)
def test_commands_out_of_proportion_are_refused_before_they_run(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "SMPL_NEUTRAL.pkl").write_bytes(content)
    with pytest.raises(ValueError, match=rf"SMPL_NEUTRAL\.pkl.*{words}"):
        load_body(tmp_path / "SMPL_NEUTRAL.pkl")


def test_sparse_numbers_outside_their_matrix_are_refused(tmp_path: Path) -> None:
    (tmp_path / "SMPL_NEUTRAL.pkl").write_bytes(indices_outside())
    with pytest.raises(ValueError, match=r"SMPL_NEUTRAL\.pkl.*cannot be read as a body"):
        load_body(tmp_path / "SMPL_NEUTRAL.pkl")


def test_a_missing_file_says_where_to_get_it() -> None:
    with pytest.raises(ValueError, match=r"no body file .* registration"):
        load_body("/nowhere/SMPL_NEUTRAL.pkl")


def test_offsets_are_the_skeletons(body: Body) -> None:
    np.testing.assert_allclose(body.offsets, REST_OFFSETS, atol=1e-9)
    assert 0.01 < body.sole < 0.05
    assert isinstance(body.model, smplx.SMPL)
