"""Operations: hands move as hands do, poses obey trocars, events decide, labels are CholecT50's."""

import itertools
import json
import re

import numpy as np
import pandas as pd
import pytest

from operation_material import INSTRUMENTS, FakeSite, operate, work_point
from splatscope.errors import InputError
from splatscope.geometry import Camera, apply, invert
from splatscope.simulate.operation.avoidance import closest_points
from splatscope.simulate.operation.command import HANDS, Command
from splatscope.simulate.operation.hand import FREE
from splatscope.simulate.operation.labels import event_table, log_table, triplet_table
from splatscope.simulate.operation.motion import (
    PEAK_ACCELERATION,
    PEAK_SPEED,
    Submovements,
    fitts_duration,
    minimum_jerk,
    tremor,
)
from splatscope.simulate.operation.ports import place_ports
from splatscope.simulate.operation.scenario import Scenario, load_scenario
from splatscope.simulate.operation.surgeon import Surgeon
from splatscope.simulate.operation.vocabulary import PHASES, TRIPLET_IDS, Triplet, target_acted_on

SHIPPED = {  # name: moments per second, enough for what is checked of it; shortest and longest duration in s
    "cholecystectomy": (20, 60, 120),
    "cholecystectomy_short": (60, 12, 17),
    "dissection_only": (20, 15, 60),
    "bleeding": (30, 12, 60),
}


def scenario(**changes) -> Scenario:
    """One phase of the given steps at pace 3."""
    steps = changes.pop("steps")
    phase = {"name": "clipping-and-cutting", "steps": steps}
    return Scenario.model_validate({"name": "test", "pace": 3.0, "phases": [phase], **changes})


@pytest.fixture(scope="module")
def operations(request) -> dict[str, tuple]:
    folder = request.getfixturevalue("repository") / "config" / "scenarios"
    return {name: operate(load_scenario(folder / f"{name}.yaml"), rate_hz=rate) for name, (rate, *_) in SHIPPED.items()}


def path_of(commands: list[Command], hand: str) -> np.ndarray:
    """Point of work [N, 3] in the longest stretch of time that one instrument is in the hand."""
    stretches = itertools.groupby(
        commands, key=lambda command: hand in command.tools and command.tools[hand].instrument
    )
    longest = max((list(stretch) for inside, stretch in stretches if inside), key=len)
    return np.array([work_point(command, hand) for command in longest])


# motion


def test_minimum_jerk_profile():
    share = np.linspace(0, 1, 20001)
    way = minimum_jerk(share)
    speed, acceleration = np.gradient(way, share), np.gradient(np.gradient(way, share), share)
    assert way[0] == 0 and way[-1] == 1 and (np.diff(way) >= 0).all()
    assert np.allclose(way + way[::-1], 1)
    assert speed.max() == pytest.approx(PEAK_SPEED, abs=1e-6) and share[speed.argmax()] == pytest.approx(0.5, abs=1e-3)
    assert np.abs(acceleration[2:-2]).max() == pytest.approx(PEAK_ACCELERATION, abs=1e-3)
    assert abs(speed[[0, -1]]).max() < 1e-6 and abs(acceleration[[2, -3]]).max() < 0.02
    assert minimum_jerk(-0.5) == 0 and minimum_jerk(2.0) == 1


def test_submovements_superpose_without_jumps():
    value = Submovements([0.0, 0.0])
    times = np.arange(0, 2.0, 0.001)
    trace = []
    for time in times:
        if time == pytest.approx(0.2):
            value.move_to([40.0, 0], 0.2, 0.8)
        if time == pytest.approx(0.5):  # another mind, half way
            value.move_to([40.0, 30.0], 0.5, 0.6)
        trace.append(value(time))
    trace = np.array(trace)
    acceleration = np.diff(trace, 2, axis=0) / 0.001**2
    assert np.allclose(trace[-1], [40, 30]) and np.allclose(value.goal, [40, 30])
    assert np.abs(acceleration).max() < 40 * PEAK_ACCELERATION / 0.8**2 + 30 * PEAK_ACCELERATION / 0.6**2
    jerk = np.abs(np.diff(acceleration, axis=0)).max() / 0.001
    assert jerk < 2 * 60 * 40 / 0.6**3  # a minimum-jerk movement's greatest jerk is 60 D / T^3: no step of acceleration


def test_fitts_law():
    bit = fitts_duration(80, 2) - fitts_duration(40, 2)
    assert bit == pytest.approx(fitts_duration(40, 2) - fitts_duration(40, 4)) and bit > 0
    assert 0 < fitts_duration(0.0, 2.0) == fitts_duration(1.0, 2.0)


def test_tremor_stays_in_its_band():
    rate, seconds = 200, 60
    shake = tremor(np.random.default_rng(3))
    samples = np.array([shake(time) for time in np.arange(0, seconds, 1 / rate)])
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples))[:, None], axis=0)) ** 2
    frequency = np.fft.rfftfreq(len(samples), 1 / rate)
    inside = (frequency >= 5.9) & (frequency <= 12.1)
    assert power[inside].sum() / power.sum() > 0.999
    assert (power[(frequency > 6) & (frequency < 9)].sum(0) > 0.1 * power.sum(0)).all()
    assert samples.std(0) == pytest.approx([0.1] * 3, rel=0.03)


# the shipped operations


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_scenarios_run_to_their_end(operations, name):
    surgeon, commands, _ = operations[name]
    _, shortest, longest = SHIPPED[name]
    assert shortest <= commands[-1].time_s <= longest
    assert surgeon.log and not [note for note in surgeon.log if note.outcome == "aborted"]
    assert {command.phase for command in commands} <= set(PHASES)


def test_every_shipped_scenario_is_tested(repository):
    assert {path.stem for path in (repository / "config" / "scenarios").glob("*.yaml")} == set(SHIPPED)


@pytest.mark.parametrize("name", ["cholecystectomy", "cholecystectomy_short"])
def test_all_actions_occur(operations, name):
    table = triplet_table(operations[name][1])
    assert set(table.verb.dropna()) == {"grasp", "retract", "dissect", "coagulate", "clip", "cut", "null_verb"}
    assert set(table.instrument.dropna()) == {"grasper", "hook", "clipper", "scissors"}
    assert table.phase.drop_duplicates().tolist() == [PHASES[number] for number in (0, 1, 2, 3, 5)]
    actions = [action.verb for command in operations[name][1] for action in command.actions]
    assert {"grasp", "clip", "cut"} <= set(actions) and actions.count("clip") >= 3


@pytest.mark.parametrize("hand", HANDS)
def test_shafts_pass_their_trocar(operations, hand):
    commands = operations["cholecystectomy_short"][1]
    poses = np.array([command.tools[hand].world_from_tool for command in commands if hand in command.tools])
    rotations, origins, axes = poses[:, :3, :3], poses[:, :3, 3], poses[:, :3, 2]
    assert np.allclose(rotations @ np.swapaxes(rotations, 1, 2), np.eye(3), atol=1e-9)
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
    trocar = np.linalg.solve(across.sum(0), (across @ origins[:, :, None]).sum(0))[:, 0]
    assert np.linalg.norm(np.einsum("nij,nj->ni", across, trocar - origins), axis=1).max() < 1e-6
    assert 90 < np.linalg.norm(trocar) < 200 and trocar[2] > 40


@pytest.mark.parametrize("hand", HANDS)
def test_speed_and_acceleration_are_bounded(operations, hand):
    for name in ("cholecystectomy", "cholecystectomy_short"):
        rate = SHIPPED[name][0]
        path = path_of(operations[name][1], hand)
        speed = np.linalg.norm(np.diff(path, axis=0), axis=1) * rate
        assert speed.max() < 1.5 * (FREE.calm if name == "cholecystectomy" else FREE.fastest)
        if name == "cholecystectomy":
            assert np.median(speed) < 25  # fast only when it comes and goes
        else:
            acceleration = np.linalg.norm(np.diff(path, 2, axis=0), axis=1) * rate**2
            assert 300 < acceleration.max() < 15_000


def test_instruments_keep_apart(operations):
    def segment(command, hand):
        pose = command.tools[hand].world_from_tool
        return pose[:3, 3] - 250 * pose[:3, 2], work_point(command, hand)

    for name in SHIPPED:
        gaps = [
            np.linalg.norm(np.subtract(*closest_points(*segment(command, one), *segment(command, other))))
            for command in operations[name][1]
            for one, other in itertools.combinations(command.tools, 2)
        ]
        assert np.mean(np.array(gaps) < 5.0) < 0.01 and min(gaps) > 2.5  # shafts of 5 mm; jaws are thinner


def test_closest_points():
    rng = np.random.default_rng(0)
    share = np.linspace(0, 1, 201)[:, None]
    for _ in range(30):
        a, b, c, d = rng.normal(size=(4, 3))
        sampled = np.linalg.norm((a + share * (b - a))[:, None] - (c + share * (d - c))[None], axis=-1).min()
        exact = np.linalg.norm(np.subtract(*closest_points(a, b, c, d)))
        assert sampled - 0.03 < exact <= sampled + 1e-9


def test_camera_keeps_work_in_view(operations):
    camera = Camera(640, 512, 460, 460, 320, 256)  # 70 degrees across
    for name in ("cholecystectomy_short", "dissection_only"):
        scope, tips = [], []
        for command in operations[name][1]:
            scope.append(command.world_from_camera)
            working = [triplet.hand for triplet in command.triplets if triplet.verb in ("dissect", "clip", "cut")]
            if working:
                point = apply(invert(command.world_from_camera), work_point(command, working[0])[None])
                pixel = camera.project(point)[0]
                tips.append(point[0, 2] > 30 and (pixel > 0).all() and (pixel < [640, 512]).all())
        assert np.mean(tips) > 0.97 and len(tips) > 50
        scope = np.array(scope)
        eyes, forward = scope[:, :3, 3], scope[:, :3, 2]
        assert np.allclose(scope[:, :3, :3] @ np.swapaxes(scope[:, :3, :3], 1, 2), np.eye(3), atol=1e-9)
        assert (forward[:, 2] < -0.3).all() and (eyes[:, 2] > 35).all()  # looks down from outside
        assert np.abs(np.degrees(np.arcsin(scope[:, 2, 0]))).max() < 15  # the horizon is nearly level
        assert np.linalg.norm(eyes[:, None] - FakeSite().rest[None], axis=-1).min() > 20
        speed = np.linalg.norm(np.diff(eyes, axis=0), axis=1) * SHIPPED[name][0]
        assert speed.mean() > 0.5 and speed.max() < 250


@pytest.mark.parametrize("oblique", [0, 30])
def test_scope_passes_its_trocar_at_its_angle(oblique):
    course = scenario(steps=[{"do": "inspect", "seconds": 6}], camera={"oblique_deg": oblique})
    scope = np.array([command.world_from_camera for command in operate(course, seed=2)[1]])
    ports = place_ports(np.random.default_rng(2), *(FakeSite().rest[i].astype(float) for i in (1, 4)))
    shaft = scope[:, :3, 3] - ports.trocars["camera"]
    cosine = np.einsum("ni,ni->n", shaft, scope[:, :3, 2]) / np.linalg.norm(shaft, axis=1)
    assert np.degrees(np.arccos(np.clip(cosine, -1, 1))) == pytest.approx(np.full(len(scope), oblique), abs=1e-4)


# seeds


def as_bytes(commands: list[Command]) -> bytes:
    parts = []
    for command in commands:
        parts += [
            command.world_from_camera.tobytes(),
            repr((command.phase, command.actions, command.triplets)).encode(),
        ]
        parts += [tool.world_from_tool.tobytes() + repr((h, tool.joints)).encode() for h, tool in command.tools.items()]
    return b"".join(parts)


def test_equal_seeds_give_equal_commands_and_others_differ():
    course = scenario(steps=[{"do": "expose"}, {"do": "clip", "count": 1}])
    first, again, other = (operate(course, seed)[1] for seed in (4, 4, 5))
    assert as_bytes(first) == as_bytes(again)
    ends = min(len(first), len(other)) - 1
    assert np.abs(first[ends].world_from_camera - other[ends].world_from_camera).max() > 0.01
    trocars = [commands[20].tools["assistant"].world_from_tool[:3, 3] for commands in (first, other)]
    assert np.linalg.norm(trocars[0] - trocars[1]) > 1


# what the tissue answers


@pytest.mark.parametrize(
    "steps, deaf, verb, tries",
    [
        ([{"do": "expose"}], ("grasp",), "grasp", 3),
        ([{"do": "clip", "count": 1}], ("clip",), "clip", 3),
        ([{"do": "cut", "tube": "cystic artery"}], ("cut",), "cut", 3),
    ],
)
def test_what_has_no_effect_is_tried_a_bounded_number_of_times(steps, deaf, verb, tries):
    surgeon, commands, _ = operate(scenario(steps=steps, attempts=3), deaf=deaf, limit_s=25)
    actions = [action.verb for command in commands for action in command.actions]
    assert actions == [verb] * tries
    assert [note.outcome for note in surgeon.log] == ["retried", "retried", "aborted"]
    assert surgeon.finished and "release" not in actions


def test_strokes_that_divide_nothing_end():
    course = scenario(
        steps=[{"do": "dissect", "strokes": 2}, {"do": "peel", "strokes": 2, "pull_off_mm": 10}], attempts=2
    )
    surgeon, commands, events = operate(course, deaf=("bond_broken", "vaporise", "tear", "coagulate"), limit_s=30)
    assert [note.outcome for note in surgeon.log] == ["aborted", "aborted", "aborted"]  # nobody holds what peel pulls
    assert not events and commands[-1].tools["right"].heating_w == 0
    longest = max(
        len(list(run)) for hot, run in itertools.groupby(c.tools["right"].heating_w > 0 for c in commands[1:]) if hot
    )
    assert longest / 60 < 1.5


def test_what_slips_is_grasped_again():
    course = scenario(steps=[{"do": "expose"}, {"do": "inspect", "seconds": 9}])
    surgeon, commands, events = operate(course, slips_at_s=3.0)
    kinds = [event.kind for event in events]
    assert kinds == ["grasp", "slip", "grasp"]
    assert [note.outcome for note in surgeon.log] == ["done", "retried", "done", "done"]
    verbs = triplet_table(commands).query("hand == 'assistant'").set_index("time_s").verb
    grasped, slipped, held = (event.time_s for event in events)
    assert verbs.loc[grasped + 1.0 : slipped].iloc[-1] == "retract" and verbs.iloc[-1] == "retract"
    assert "null_verb" in set(verbs.loc[slipped:held])


def test_bleeding_is_stopped(operations):
    _, commands, events = operations["bleeding"]
    kinds = [event.kind for event in events]
    assert kinds.index("cut") < kinds.index("bleed") < kinds.index("seal") < kinds.index("clip")
    table = triplet_table(commands)
    assert (table.query("verb == 'coagulate'").iloc[0][["instrument", "target"]] == ["hook", "cystic_artery"]).all()
    where = np.array(next(event.point for event in events if event.kind == "bleed"))
    hot = [
        work_point(command, "right")
        for command in commands
        if "right" in command.tools and command.tools["right"].heating_w
    ]
    assert np.linalg.norm(np.array(hot) - where, axis=1).max() < 6


def test_bleeding_that_goes_on_is_given_up():
    steps = [{"do": "cut", "tube": "cystic artery"}, {"do": "coagulate", "seconds": 1}]
    surgeon, _, events = operate(scenario(steps=steps), deaf=("seal",), limit_s=25)
    assert [event.kind for event in events].count("bleed") == 1
    assert [note.outcome for note in surgeon.log] == ["done", "aborted"]


@pytest.mark.parametrize("react, first", [(True, "coagulate"), (False, "dissect")])
def test_bleeding_between_strokes(react, first):
    steps = [{"do": "cut", "tube": "cystic artery"}, {"do": "dissect", "strokes": 3}]
    _, commands, _ = operate(scenario(steps=steps, react_to_bleeding=react))
    verbs = triplet_table(commands).query("instrument == 'hook' and verb != 'null_verb'").verb
    runs = [verb for verb, _ in itertools.groupby(verbs)]
    assert runs[1:2] == (["coagulate"] if react else []) and first in runs


def test_nothing_to_do_is_said():
    surgeon, _, _ = operate(scenario(steps=[{"do": "coagulate"}]))
    assert [(note.outcome, note.text) for note in surgeon.log] == [("skipped", "nothing bled")]


def test_meanwhile_steps_run_together():
    steps = [{"do": "expose", "hand": "assistant"}, {"do": "expose", "hand": "left", "landmark": "infundibulum"}]
    one_by_one, together = (
        operate(scenario(steps=[{**steps[0], "meanwhile": at_once}, steps[1]]))[1] for at_once in (False, True)
    )
    assert together[-1].time_s < 0.75 * one_by_one[-1].time_s
    assert set(together[10].tools) == {"assistant", "left"} and set(one_by_one[10].tools) == {"assistant"}


# labels


def test_triplets_are_those_of_cholect50(shared_data):
    folder = shared_data / "cholect50_challenge_val"
    categories = json.loads((folder / "labels" / "VID68.json").read_text())["categories"]
    assert list(PHASES) == [categories["phase"][str(number)] for number in range(7)]
    named = {tuple(text.split(",")): int(number) for number, text in categories["triplet"].items()}
    ours = {(*key, target): number for key, targets in TRIPLET_IDS.items() for target, number in targets.items()}
    assert ours.items() <= named.items()


def test_triplets_outside_the_vocabulary_are_refused():
    assert Triplet("hook", "dissect", "gallbladder").number == 60
    with pytest.raises(ValueError, match="hook, clip, liver"):
        Triplet("hook", "clip", "liver")


def test_tissue_decides_the_target_within_the_vocabulary():
    assert target_acted_on("grasper", "retract", 2, "gallbladder") == "liver"
    assert (
        target_acted_on("hook", "dissect", 2, "cystic_plate") == "cystic_plate"
    )  # CholecT50 has no hook,dissect,liver
    assert target_acted_on("scissors", "cut", 13, "cystic_duct") == "cystic_artery"
    assert target_acted_on("hook", "dissect", None, "gallbladder") == "gallbladder"


def test_labels_say_what_the_hands_do(operations):
    _, commands, events = operations["cholecystectomy_short"]
    table = triplet_table(commands)
    assert table.columns.tolist() == ["frame", "time_s", "phase", "instrument", "verb", "target", "hand", "triplet"]
    assert len(table) == sum(max(len(command.tools), 1) for command in commands)
    for frame, command in enumerate(commands):
        verbs = {triplet.hand: triplet.verb for triplet in command.triplets}
        for hand, tool in command.tools.items():
            assert tool.heating_w == 0 or verbs[hand] in ("dissect", "coagulate"), frame
        for action in command.actions:
            assert verbs[action.hand] == action.verb, frame
    happened = event_table(events)
    assert happened.time_s.is_monotonic_increasing and set(happened.kind) >= {"grasp", "clip", "cut", "bond_broken"}
    notes = log_table(operations["cholecystectomy_short"][0].log)
    assert set(notes.outcome) <= {"done", "retried", "skipped"} and notes.step.iloc[0] == "expose"


def test_labels_stay_in_the_vocabulary_whatever_is_grasped():
    _, commands, _ = operate(scenario(steps=[{"do": "expose"}]), held_class=13)  # CholecT50 has grasp, not retract
    table = triplet_table(commands)
    targets = table.groupby("verb").target.agg(set).to_dict()
    assert targets["grasp"] == {"gallbladder", "cystic_artery"} and targets["retract"] == {"gallbladder"}


def test_landmarks_that_fall_away_are_not_followed():
    _, commands, _ = operate(scenario(steps=[{"do": "clip", "count": 2}], attempts=1), falls_mm_s=400.0)
    lowest = min(work_point(command, "right")[2] for command in commands if command.tools)
    assert -60 < lowest < -20 and len(commands) < 600


def test_frames_without_instruments_have_a_row():
    _, commands, _ = operate(scenario(steps=[{"do": "inspect", "seconds": 1}]))
    table = triplet_table(commands)
    assert (
        (table.triplet == -1).all()
        and table.instrument.isna().all()
        and table.frame.tolist() == list(range(len(commands)))
    )
    assert isinstance(event_table([]), pd.DataFrame) and event_table([]).empty


# scenarios and surroundings


def test_ports_mirror_with_the_anatomy_and_lie_on_the_wall():
    def room(points):
        return 150.0 - np.linalg.norm(points, axis=-1)

    duct, gallbladder = np.array([30.0, 10, 0]), np.zeros(3)
    one = place_ports(np.random.default_rng(1), gallbladder, duct, room)
    other = place_ports(np.random.default_rng(1), gallbladder, duct * [-1, 1, 1], room)
    for name, trocar in one.trocars.items():
        assert np.allclose(trocar * [-1, 1, 1], other.trocars[name])
        assert np.linalg.norm(trocar) == pytest.approx(150, abs=1.1)
    assert one.trocars["right"][0] > 0 > one.trocars["assistant"][0] and one.trocars["camera"][1] < -70
    assert np.allclose(one.vector((1, 2, 3)), [1, 2, 3]) and np.allclose(other.vector((1, 2, 3)), [-1, 2, 3])


WRONG = {
    "unknown step": ("do: clipp", r"line 5, key phases\[0\]\.steps\[0\].*do: clipp.*did you mean clip\?"),
    "no step": ("count: 2", r"line 5, key phases\[0\]\.steps\[0\]\.do.*no such key"),
    "unknown key": ("do: clip\n        cuont: 2", r"line 6, key phases\[0\]\.steps\[0\]\.cuont.*did you mean count\?"),
    "out of range": (
        "do: clip\n        count: 9",
        r"line 6, key phases\[0\]\.steps\[0\]\.count.*9.*less than or equal to 3",
    ),
    "no triplet of CholecT50": ("do: dissect\n        target: liver", r"line 6, .*target.*'liver'.*cystic_duct"),
    "one hand for two": (
        "do: cut\n        meanwhile: true\n      - do: clip",
        r"line 3, key phases\[0\].*must use different hands",
    ),
}


@pytest.mark.parametrize("step, message", WRONG.values(), ids=WRONG)
def test_wrong_scenarios_say_where_and_how_to_mend(tmp_path, step, message):
    path = tmp_path / "mine.yaml"
    path.write_text(f"name: mine\nphases:\n  - name: preparation\n    steps:\n      - {step}\n")
    with pytest.raises(InputError) as caught:
        load_scenario(path)
    text = str(caught.value)
    assert str(path) in text and ("config/scenarios/cholecystectomy.yaml" in text or "did you mean" in text)
    assert re.search(message, text, re.DOTALL), text


def test_unknown_instruments_and_landmarks_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="'laser'"):
        Surgeon(scenario(steps=[{"do": "cut", "instrument": "laser"}]), FakeSite(), INSTRUMENTS, rng)
    with pytest.raises(ValueError, match="'spleen'"):
        Surgeon(scenario(steps=[{"do": "inspect", "landmark": "spleen"}]), FakeSite(), INSTRUMENTS, rng)
