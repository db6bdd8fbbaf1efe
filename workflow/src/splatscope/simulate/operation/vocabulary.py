"""What is being done, in the words and numbers of CholecT50 (Nwoye et al. 2022): phases, triplets, targets."""

from __future__ import annotations

from dataclasses import dataclass

PHASES = (  # by CholecT50's number; the second is spelled as the data set spells it
    "preparation",
    "carlot-triangle-dissection",
    "clipping-and-cutting",
    "gallbladder-dissection",
    "gallbladder-packaging",
    "cleaning-and-coagulation",
    "gallbladder-extraction",
)

# CholecT50's number of each triplet that the simulator's instruments can take part in
TRIPLET_IDS: dict[tuple[str, str], dict[str, int]] = {
    ("grasper", "dissect"): {"cystic_plate": 0, "gallbladder": 1, "omentum": 2},
    ("grasper", "grasp"): {
        "cystic_artery": 3,
        "cystic_duct": 4,
        "cystic_pedicle": 5,
        "cystic_plate": 6,
        "gallbladder": 7,
        "gut": 8,
        "liver": 9,
        "omentum": 10,
        "peritoneum": 11,
    },
    ("grasper", "retract"): {
        "cystic_duct": 14,
        "cystic_pedicle": 15,
        "cystic_plate": 16,
        "gallbladder": 17,
        "gut": 18,
        "liver": 19,
        "omentum": 20,
        "peritoneum": 21,
    },
    ("bipolar", "coagulate"): {
        "abdominal_wall_cavity": 22,
        "blood_vessel": 23,
        "cystic_artery": 24,
        "cystic_duct": 25,
        "cystic_pedicle": 26,
        "cystic_plate": 27,
        "gallbladder": 28,
        "liver": 29,
        "omentum": 30,
        "peritoneum": 31,
    },
    ("bipolar", "dissect"): {
        "adhesion": 32,
        "cystic_artery": 33,
        "cystic_duct": 34,
        "cystic_plate": 35,
        "gallbladder": 36,
        "omentum": 37,
    },
    ("bipolar", "grasp"): {"cystic_plate": 38, "liver": 39},
    ("bipolar", "retract"): {
        "cystic_duct": 41,
        "cystic_pedicle": 42,
        "gallbladder": 43,
        "liver": 44,
        "omentum": 45,
    },
    ("hook", "coagulate"): {
        "blood_vessel": 46,
        "cystic_artery": 47,
        "cystic_duct": 48,
        "cystic_pedicle": 49,
        "cystic_plate": 50,
        "gallbladder": 51,
        "liver": 52,
        "omentum": 53,
    },
    ("hook", "cut"): {"blood_vessel": 54, "peritoneum": 55},
    ("hook", "dissect"): {
        "blood_vessel": 56,
        "cystic_artery": 57,
        "cystic_duct": 58,
        "cystic_plate": 59,
        "gallbladder": 60,
        "omentum": 61,
        "peritoneum": 62,
    },
    ("hook", "retract"): {"gallbladder": 63, "liver": 64},
    ("scissors", "cut"): {
        "adhesion": 66,
        "blood_vessel": 67,
        "cystic_artery": 68,
        "cystic_duct": 69,
        "cystic_plate": 70,
        "liver": 71,
        "omentum": 72,
        "peritoneum": 73,
    },
    ("clipper", "clip"): {
        "blood_vessel": 77,
        "cystic_artery": 78,
        "cystic_duct": 79,
        "cystic_pedicle": 80,
        "cystic_plate": 81,
    },
    ("grasper", "null_verb"): {"null_target": 94},
    ("bipolar", "null_verb"): {"null_target": 95},
    ("hook", "null_verb"): {"null_target": 96},
    ("scissors", "null_verb"): {"null_target": 97},
    ("clipper", "null_verb"): {"null_target": 98},
}

IDLE = ("null_verb", "null_target")

TARGET_OF_CLASS = {  # CholecT50's target by id of the class table
    1: "abdominal_wall_cavity",
    2: "liver",
    3: "gut",
    4: "peritoneum",  # fat of the operation lies under the peritoneum of Calot's triangle
    6: "cystic_plate",  # the areolar tissue of the gallbladder's bed
    7: "blood_vessel",
    8: "cystic_duct",
    10: "gallbladder",
    13: "cystic_artery",
}


@dataclass(frozen=True)
class Triplet:
    """One action: CholecT50's instrument, verb and target, and the hand that does it. ValueError for others."""

    instrument: str
    verb: str
    target: str
    hand: str = ""

    def __post_init__(self):
        if self.target not in TRIPLET_IDS.get((self.instrument, self.verb), {}):
            known = sorted({key for key in TRIPLET_IDS if key[0] == self.instrument} or TRIPLET_IDS)
            raise ValueError(
                f"expected a triplet of CholecT50, got ({self.instrument}, {self.verb}, {self.target}); known: {known}"
            )

    @property
    def number(self) -> int:
        """CholecT50's number of the triplet."""
        return TRIPLET_IDS[self.instrument, self.verb][self.target]


def target_acted_on(instrument: str | None, verb: str, class_id: int | None, intended: str) -> str:
    """The target by the class of the tissue that answered, where CholecT50 has that triplet; else the intended one."""
    found = TARGET_OF_CLASS.get(class_id) if class_id is not None else None
    return found if found in TRIPLET_IDS.get((instrument, verb), {}) else intended
