from ablate.attempt.artifacts import artifacts_of, newest_samples
from tests.support.present import present


def make(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def test_of_a_name_that_two_attempts_kept_the_later_one_counts(tmp_path):
    make(tmp_path, *(f"attempt-{n}/artifacts/samples/a.wav" for n in (1, 2, 10)))
    make(tmp_path, "attempt-2/artifacts/b.txt", "attempt-2/log.txt", "attempt-2/checkpoints/c")

    found = artifacts_of(tmp_path)

    assert [(a.name, a.attempt) for a in found] == [("b.txt", 2), ("samples/a.wav", 10)]
    assert found[1].path.read_text() == "attempt-10/artifacts/samples/a.wav"


def test_what_is_being_written_is_not_seen(tmp_path):
    make(tmp_path, "attempt-1/artifacts/.a.wav.123.tmp")

    assert artifacts_of(tmp_path) == artifacts_of(tmp_path / "absent") == ()


def test_newest_samples_are_those_of_the_largest_step(tmp_path):
    steps = ("step-000000700", "step-000001000", "step-000000090")
    make(tmp_path, *(f"attempt-1/artifacts/samples/{s}/u-output.wav" for s in steps))
    make(tmp_path, "attempt-1/artifacts/samples/step-000001000/u.png", "attempt-1/artifacts/x.wav")

    step, samples = present(newest_samples(artifacts_of(tmp_path)))

    assert step == 1000
    assert [a.path.name for a in samples] == ["u-output.wav", "u.png"]
    assert newest_samples(()) is None
