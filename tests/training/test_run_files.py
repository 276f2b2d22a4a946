"""Files of a run that are damaged, of another shape, or no files are told as such."""

import contextlib
import json
import os
import random
import shlex
import shutil
import socket
import tempfile
from pathlib import Path

import pandas as pd
import pytest
import safetensors
import torch
from run_file_mutants import READERS, damaged_bytes, draw, interrupted_run, outcome, save_anew
from safetensors.torch import save_file

from coopetition_interp.analysis.thin_run import thin_run
from coopetition_interp.files.regular_file import MOST_JSON_BYTES
from coopetition_interp.training import RunError, load_run, resume, train
from coopetition_interp.training.run_directory import RunDirectory, read_tensors

OTHER_USER = 65534


@pytest.fixture(scope="module")
def half_done(short_config, tmp_path_factory):
    """A run that stopped half-way; it is only read."""
    config = short_config.replace(name="run", n_sequences=1280)
    return config, interrupted_run(config, tmp_path_factory.mktemp("half") / "run")


@pytest.fixture
def copy(half_done, tmp_path):
    """A copy of it, to be damaged."""
    return shutil.copytree(half_done[1], tmp_path / "run")


def contents(path: Path) -> tuple[dict, dict]:
    with safetensors.safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata())  # noqa: SIM118


def test_a_path_with_spaces_is_quoted_in_what_is_to_be_typed(half_done, tmp_path):
    out = shutil.copytree(half_done[1], tmp_path / "my run's")
    with pytest.raises(RunError, match="choose another directory") as held:
        train(half_done[0], out, progress=False)
    with pytest.raises(RunError, match="a run is made by") as missing:
        load_run(tmp_path / "my other")
    for error, path in ((held, out), (missing, tmp_path / "my other")):
        assert str(path) in shlex.split(str(error.value).split("`")[1])


# Small files --------------------------------------------------------------------------------

GOOD_STATUS = {"state": "finished", "sequences_seen": 640, "message": ""}
GOOD_NOTES = {"steps_done": "20", "loss_sum": "0x0.0p+0", "n_losses": "0"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "holds list in JSON: it should hold an object"),
        ({}, "state is missing"),
        ({**GOOD_STATUS, "state": "done"}, "state: .*'finished'.*; got 'done'"),
        ({**GOOD_STATUS, "sequences_seen": "640"}, "sequences_seen: .*integer; got '640'"),
        ({**GOOD_STATUS, "sequences_seen": True}, "sequences_seen: .*integer; got True"),
        ({**GOOD_STATUS, "sequences_seen": -1}, "sequences_seen: .*; got -1"),
        ({**GOOD_STATUS, "message": ["x"] * 999}, "message: .*string; got .{60}[.]{3}"),
    ],
)
def test_a_status_of_another_shape_names_file_and_field(copy, content, message):
    (copy / "status.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match=rf"status\.json .*{message}") as caught:
        load_run(copy).status  # noqa: B018
    assert len(str(caught.value)) < 600
    with pytest.raises(RunError, match=r"status\.json"):
        resume(copy, progress=False)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "d_feature is missing"),
        ({"d_feature": True, "n_labels": 64}, "d_feature: .*integer; got True"),
        ({"d_feature": 16, "n_labels": 64, "n_threads": None}, "n_threads: .*; got None"),
        ({"d_feature": 16, "n_labels": 64, "features_sha256": "0"}, "features_sha256: "),
        ({"d_feature": 16, "n_labels": 64, "device": "tpu"}, "device: .*; got 'tpu'"),
    ],
)
def test_a_resolved_of_another_shape_names_file_and_field(copy, content, message):
    (copy / "resolved.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match=rf"resolved\.json is damaged \({message}"):
        load_run(copy)


def test_a_run_from_before_some_entries_is_read_and_told_what_it_lacks_to_be_resumed(copy):
    old = {"d_feature": 16, "n_labels": 64, "added_later": [1]}
    (copy / "resolved.json").write_text(json.dumps(old))
    run = load_run(copy)
    assert run.resolved == old
    assert len(run.weights("last")) > 0
    with pytest.raises(RunError, match=r"resolved\.json has no device"):
        resume(copy, progress=False)


def test_a_size_of_another_run_is_told_before_a_model_is_built(copy):
    resolved = json.loads((copy / "resolved.json").read_text())
    (copy / "resolved.json").write_text(json.dumps({**resolved, "d_feature": 10**15}))
    with pytest.raises(RunError, match=r"exemplar_embed\.W is .*resolved\.json has d_feature"):
        load_run(copy).model()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe\x00", "cannot be read as JSON"),
        (b"[" * 200_000, "cannot be read as JSON"),
        (b'{"unknown": 1}', "unknown"),
        (b"[1]", "it should hold an object"),
        (b" " * (MOST_JSON_BYTES + 1), rf"is larger than {MOST_JSON_BYTES} bytes \(16 MiB\)"),
    ],
    ids=["binary", "deep", "unknown field", "list", "huge"],
)
def test_a_damaged_config_is_named(copy, content, message):
    (copy / "config.json").write_bytes(content)
    with pytest.raises(RunError, match=rf"config\.json .*{message}") as caught:
        load_run(copy)
    assert len(str(caught.value)) < 600


# Tables -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: "", "it is empty"),
        (lambda text: text[: len(text) // 2], "its last line is cut off"),
        (lambda text: text.splitlines()[0] + "\n", "it has no rows"),
        (lambda text: text.replace("sequences_seen", "seen"), "no column sequences_seen"),
        (lambda text: text.replace("\n640,", "\n640.5,", 1), "whole numbers"),
        (lambda text: text + text.splitlines()[1] + "\n", "twice at the same moment"),
        (lambda text: text + text.splitlines()[-1] + "\n", "twice at the same moment"),
        (lambda text: text.rsplit("\n", 2)[0] + "\n", "not every evaluator has a row"),
        (lambda text: text.replace("0.", "O.", 1), "should be numbers"),
        (lambda text: text.replace(",", "", 1), "row 2 has"),
        (lambda text: text.replace("icl", '"icl', 1), "unexpected end of data"),
    ],
)
def test_damaged_metrics_are_refused_by_readers_and_by_a_resume(copy, damage, message):
    metrics = copy / "metrics.csv"
    damaged = damage(metrics.read_text())
    metrics.write_text(damaged)
    for read in (lambda: load_run(copy).metrics, lambda: resume(copy, progress=False)):
        with pytest.raises(RunError, match=rf"metrics\.csv is damaged .*{message}") as caught:
            read()
        assert "train --resume" in str(caught.value)
    assert metrics.read_text() == damaged


def test_metrics_that_are_gone_are_not_begun_anew(copy):
    (copy / "metrics.csv").unlink()
    with pytest.raises(RunError, match=r"metrics\.csv is missing, though the run has been saved"):
        resume(copy, progress=False)
    assert not (copy / "metrics.csv").exists()


def test_the_mend_that_is_told_gives_the_same_weights_and_metrics(copy, half_done, tmp_path):
    whole = resume(shutil.copytree(half_done[1], tmp_path / "whole"), progress=False)
    for name in ("metrics.csv", "resume.safetensors", "status.json"):
        (copy / name).unlink()
    mended = resume(copy, progress=False)
    pd.testing.assert_frame_equal(mended.metrics, whole.metrics, check_exact=True)
    for name, weight in whole.weights().items():
        assert torch.equal(mended.weights()[name], weight)


# Tensors ------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["checkpoints/000000000640.safetensors", "resume.safetensors"])
def test_no_turned_bit_passes_the_checksum(half_done, tmp_path, file):
    whole, notes = read_tensors(half_done[1] / file)
    chance = random.Random(0)
    path = tmp_path / Path(file).name
    refused = 0
    for _ in range(60):
        shutil.copy(half_done[1] / file, path)
        _, damage = damaged_bytes(chance, path)
        damage(path)
        with contextlib.suppress(RunError):
            found, found_notes = read_tensors(path)
            # What is turned is the name of the checksum's own entry, or the space after the header.
            assert all(torch.equal(found[name], tensor) for name, tensor in whole.items())
            assert notes.items() <= found_notes.items()
            continue
        refused += 1
    assert refused > 50


@pytest.mark.parametrize("notes", [{"steps_done": "999999"}, {"loss_sum": "0x1.0p+3"}])
def test_other_notes_in_a_resume_are_refused(copy, notes):
    path = copy / "resume.safetensors"
    tensors, metadata = contents(path)
    save_anew(path, tensors, {**metadata, **notes})
    with pytest.raises(RunError, match=r"resume\.safetensors is damaged: .*checksum.* remove it"):
        resume(copy, progress=False)


@pytest.mark.parametrize(
    ("notes", "message"),
    [
        ({}, "steps_done is missing"),
        ({"steps_done": "-3", "loss_sum": "0x0.0p+0", "n_losses": "0"}, "steps_done: .*'-3'"),
        ({"steps_done": "20", "loss_sum": "nan", "n_losses": "0"}, "loss_sum: .*'nan'"),
        ({**GOOD_NOTES, "last_moment": "soon"}, "last_moment: .*'soon'"),
    ],
)
def test_a_resume_without_a_checksum_has_its_notes_looked_over(copy, notes, message):
    path = copy / "resume.safetensors"
    save_anew(path, contents(path)[0], notes)
    with pytest.raises(RunError, match=rf"resume\.safetensors is damaged \({message}"):
        resume(copy, progress=False)


def test_a_moment_after_the_save_is_refused(copy):
    path = copy / "resume.safetensors"
    tensors, metadata = contents(path)
    del metadata["sha256"]
    save_anew(path, tensors, {**metadata, "last_moment": str(int(metadata["steps_done"]) + 1)})
    with pytest.raises(RunError, match=r"is not a save of this run \(its last_moment is after"):
        resume(copy, progress=False)


@pytest.mark.parametrize("value", [0.0, 1.5, -3e-5, 1e30, 5e-324])
def test_every_sum_of_losses_is_taken_for_one(tmp_path, value):
    path = tmp_path / "resume.safetensors"
    notes = {"steps_done": "20", "loss_sum": value.hex(), "n_losses": "0"}
    RunDirectory(tmp_path).write_tensors(path, {"a": torch.ones(2)}, notes)
    assert read_tensors(path)[1] == notes


def test_files_from_before_there_was_a_checksum_are_read(copy):
    path = load_run(copy).checkpoint_path("last")
    tensors, metadata = contents(path)
    assert len(metadata.pop("sha256")) == 64
    save_anew(path, tensors, metadata)
    found = load_run(copy).weights("last")
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t / 0, "numbers that are not finite"),
        (lambda t: t.to(torch.int64), "of int64 numbers"),
        (lambda t: t > 0, "of bool numbers"),
        (lambda t: t.to(torch.complex64), "of complex64 numbers"),
        (lambda t: t.to(torch.float8_e4m3fn), "of float8_e4m3fn numbers"),
        (lambda t: t[:-1], r"unembed\.W_U is .* in .* but .* in the model"),
    ],
)
def test_only_finite_floats_of_the_models_shapes_are_weights(copy, change, message):
    path = load_run(copy).checkpoint_path("last")
    tensors, _ = contents(path)
    tensors["unembed.W_U"] = change(tensors["unembed.W_U"])
    path.unlink()
    save_file(tensors, path)
    for read in (load_run(copy).weights, load_run(copy).model):
        with pytest.raises(RunError, match=message) as caught:
            read("last")
        assert path.name in str(caught.value)


def test_half_precision_bfloat16_and_double_precision_are_read(tmp_path):
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        path = tmp_path / f"{dtype}.safetensors"
        tensors = {"a": torch.randn(3, 2).to(dtype), "scalar": torch.tensor(2.0, dtype=dtype)}
        RunDirectory(tmp_path).write_tensors(path, tensors, {"note": "x"})
        found, notes = read_tensors(path)
        assert notes == {"note": "x"}
        assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


def test_a_checkpoint_under_the_name_of_another_moment_is_refused(copy):
    run = load_run(copy)
    shutil.copy(run.checkpoint_path("first"), run.checkpoint_path("last"))
    with pytest.raises(RunError, match=r"0640\.safetensors holds the weights at 0 sequences"):
        run.model("last")


def test_names_that_are_no_moments_are_no_checkpoints(copy):
    before = load_run(copy).checkpoints
    for name in ("²³.safetensors", "5.safetensors", "-00000000001.safetensors", "x.safetensors"):
        (copy / "checkpoints" / name).write_bytes(b"")
    assert load_run(copy).checkpoints == before


def test_numbers_that_are_not_finite_never_replace_a_good_save(copy):
    directory = RunDirectory(copy)
    before = directory.resume_path.read_bytes()
    tensors, notes = read_tensors(directory.resume_path)
    broken = {**tensors, "packed.parameters": tensors["packed.parameters"] / 0}
    with pytest.raises(RunError, match=r"not written: packed\.parameters .* saved before is kept"):
        directory.write_tensors(directory.resume_path, broken, notes)
    assert directory.resume_path.read_bytes() == before


def test_thinned_copies_have_checksums_and_refuse_what_half_precision_cannot_hold(copy, tmp_path):
    run = load_run(copy)
    thin = thin_run(run, tmp_path / "thin", [0])
    tensors, notes = contents(thin.checkpoint_path(0))
    assert tensors["unembed.W_U"].dtype == torch.float16
    assert len(notes["sha256"]) == 64
    path = run.checkpoint_path("last")
    tensors, notes = read_tensors(path)
    large = {**tensors, "unembed.W_U": torch.full_like(tensors["unembed.W_U"], 1e6)}
    RunDirectory(copy).write_tensors(path, large, notes)
    with pytest.raises(RunError, match=r"at 640 .* half precision \(unembed\.W_U"):
        thin_run(run, tmp_path / "large", [640])
    assert thin_run(run, tmp_path / "full", [640], half_precision=False).checkpoints == [640]


# What is no file ----------------------------------------------------------------------------

EVERY_FILE = (
    "config.json",
    "resolved.json",
    "status.json",
    "metrics.csv",
    "resume.safetensors",
    "checkpoints/000000000640.safetensors",
)


def read_all(path: Path) -> None:
    run = load_run(path)
    assert run.status["state"] == "interrupted"
    run.model("last")
    resume(path, progress=False)


@pytest.mark.parametrize("kind", ["a named pipe", "link to a named pipe", "a socket", "a folder"])
@pytest.mark.parametrize("file", EVERY_FILE)
def test_what_is_no_file_is_told_and_not_waited_for(copy, file, kind):
    path = copy / file
    path.unlink()
    with contextlib.ExitStack() as stack:
        if kind == "a named pipe":
            os.mkfifo(path)
        elif kind == "link to a named pipe":
            os.mkfifo(copy / "pipe")
            path.symlink_to(copy / "pipe")
        elif kind == "a folder":
            path.mkdir()
        else:
            server = stack.enter_context(socket.socket(socket.AF_UNIX))
            here = os.open(path.parent, os.O_RDONLY)  # a socket's own path must be short
            stack.callback(os.close, here)
            server.bind(f"/proc/self/fd/{here}/{path.name}")
        words = kind.removeprefix("link to ")
        with pytest.raises(RunError, match=rf"{path.name} is {words}: it should be a regular file"):
            read_all(copy)


@contextlib.contextmanager
def another_user():
    """As somebody who may not do everything; without that right, one is such a user already."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(OTHER_USER)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("file", EVERY_FILE[:-2] + EVERY_FILE[-1:])
def test_what_may_not_be_read_is_told_as_such(half_done, file):
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to other users
        os.chmod(folder, 0o755)
        path = Path(shutil.copytree(half_done[1], Path(folder) / "run"))
        (path / file).chmod(0)

        def read():
            run = load_run(path)
            return run.status, run.metrics, run.weights("last")

        with another_user(), pytest.raises(RunError, match=rf"{path.name}.* permission denied"):
            read()


# Writing ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o007, 0o660)])
def test_every_file_has_the_permissions_of_the_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        with RunDirectory(tmp_path / "run") as directory:
            directory.write_status("running", 0)
            directory.write_metrics(pd.DataFrame({"a": [1]}))
            directory.write_tensors(directory.checkpoint_path(0), {"a": torch.ones(2)}, {})
    finally:
        os.umask(before)
    for name in ("status.json", "metrics.csv", "checkpoints/000000000000.safetensors"):
        assert (tmp_path / "run" / name).stat().st_mode & 0o777 == mode


def test_what_killed_writers_left_is_cleared_when_the_directory_is_taken(copy, tmp_path):
    name = f".resume.safetensors.{'0a' * 16}.unfinished"
    left = [copy / name, copy / "checkpoints" / name]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("")
    others = [copy / ".notes.unfinished", copy / "x.unfinished", copy / f".a.{'0b' * 16}.txt"]
    for path in (*left, *others):
        path.write_text("part")
    link = copy / f".status.json.{'0c' * 16}.unfinished"
    link.symlink_to(elsewhere)
    with RunDirectory(copy):
        pass
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in (*others, link, elsewhere))


# The lock -----------------------------------------------------------------------------------


def test_a_lock_that_is_a_link_is_refused_and_its_target_left_alone(copy, tmp_path):
    target = tmp_path / "precious"
    target.write_text("precious")
    lock = copy / "in_use.lock"
    lock.unlink(missing_ok=True)
    lock.symlink_to(target)
    for use in (RunDirectory(copy).in_use, RunDirectory(copy).__enter__):
        with pytest.raises(RunError, match=r"in_use\.lock is a symbolic link, .* remove it"):
            use()
    assert target.read_text() == "precious"
    lock.unlink()
    os.mkfifo(lock)
    with pytest.raises(RunError, match=r"in_use\.lock is a named pipe"):
        RunDirectory(copy).in_use()


def test_asking_whether_a_directory_is_in_use_changes_nothing(copy, tmp_path):
    def state(folder: Path):
        return {p.name: (p.stat().st_mtime_ns, p.stat().st_size) for p in folder.iterdir()}

    (copy / "in_use.lock").write_text("a stranger's words")
    os.utime(copy / "in_use.lock", ns=(10**18, 10**18))
    before = state(copy)
    assert not RunDirectory(copy).in_use()
    assert state(copy) == before
    assert not RunDirectory(tmp_path / "none").in_use()
    assert not (tmp_path / "none").exists()
    with RunDirectory(copy):
        assert RunDirectory(copy).in_use()


# All at once --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reader", "n_mutants"), [("weights", 90), ("metrics", 90), ("status", 90), ("resume", 20)]
)
def test_no_mutant_gives_other_weights_a_traceback_or_a_wait(
    half_done, tmp_path, reader, n_mutants
):
    config, run = half_done
    other = shutil.copytree(run, tmp_path / "other")
    right = READERS[reader](shutil.copytree(run, tmp_path / "run"), config)
    room = tmp_path / "room"
    room.mkdir()
    chance = random.Random(reader)
    found = []
    files = EVERY_FILE if reader != "resume" else ("status.json", "resume.safetensors")
    for index in range(n_mutants):
        mutant = draw(chance, run, files[index % len(files)], other)
        found.append((outcome(mutant, run, reader, config, right, room), mutant))
    allowed = {"refused", "same"}
    if reader == "metrics":
        allowed.add("changed")  # a table has no checksum: another number is as good
    assert [(result, mutant.how) for result, mutant in found if result[0] not in allowed] == []
    assert sum(result[0] == "refused" for result, _ in found) > 5
