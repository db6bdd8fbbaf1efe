"""Stage check: whether a made dataset is what its owner declared, and pictures of what is not.

`stage.check_dataset` measures every frame once (`measuring`), then each check judges what was measured (`visibility`,
`class_floors`, `depth`, `duplicates`, `privacy`). `contact_sheet` draws the offenders, and `requirement` refuses a
dataset that has any.
"""
