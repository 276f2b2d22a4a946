"""The number of threads that a trial chooses is told and kept, and the trial leaves no trace."""

import pytest
import torch

from coopetition_interp.training import Schedule, resume, thread_trial, train


@pytest.fixture
def two_threads():
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shortest_config(short_config):
    """Five steps: on a busy machine two threads wait long for each other."""
    return short_config.replace(
        n_sequences=160, evaluate_at=Schedule(every=160), checkpoint_at=Schedule(every=160)
    )


@pytest.mark.parametrize(("worth", "chosen"), [(float("inf"), 1), (0, 2)])
@pytest.mark.usefixtures("two_threads")
def test_what_a_trial_chose_is_kept_and_is_all_it_changes(
    worth, chosen, shortest_config, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(thread_trial, "COMPILE_ABOVE_STEPS", 4)
    monkeypatch.setattr(thread_trial, "WORTH_MORE_THREADS", worth)
    random_state = torch.get_rng_state()
    run = train(shortest_config.replace(n_threads=0), tmp_path / "tried")
    assert f"CPU threads: {chosen} (" in capsys.readouterr().out
    assert run.resolved["n_threads"] == chosen
    assert torch.equal(torch.get_rng_state(), random_state)
    assert torch.get_num_threads() == 2

    given = train(shortest_config.replace(n_threads=chosen), tmp_path / "given", progress=False)
    assert "CPU threads" not in capsys.readouterr().out
    weights = given.weights()
    assert all(torch.equal(weight, weights[name]) for name, weight in run.weights().items())

    monkeypatch.setattr(thread_trial, "WORTH_MORE_THREADS", 0 if chosen == 1 else float("inf"))
    longer = 2 * shortest_config.n_sequences
    threads = []
    resume(
        run.path,
        n_sequences=longer,
        progress=False,
        on_evaluation=lambda _: threads.append(torch.get_num_threads()),
    )
    assert threads == [chosen]


@pytest.mark.usefixtures("two_threads")
def test_a_short_run_has_torchs_own_number(shortest_config, tmp_path, capsys):
    run = train(shortest_config.replace(n_threads=0), tmp_path / "run")
    assert run.resolved["n_threads"] == 2
    assert "CPU threads" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("most", "numbers"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])]
)
def test_numbers_go_up_to_torchs_own(most, numbers):
    assert thread_trial.numbers_to_try(most) == numbers


@pytest.mark.parametrize(
    ("seconds", "fewest"),
    [
        ({1: 12.0, 2: 52.0}, 1),
        ({1: 1.5, 2: 1.0}, 2),
        ({1: 1.05, 2: 1.0}, 1),
        ({1: 3.0, 2: 2.0, 4: 1.0}, 4),
        ({1: 3.0, 2: 1.0, 4: 0.95}, 2),
        ({1: 3.0, 2: 2.9, 4: 1.0}, 4),
    ],
)
def test_more_threads_must_be_worth_it(seconds, fewest):
    assert thread_trial.fewest_worth_it(seconds) == fewest
