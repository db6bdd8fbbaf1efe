"""A project: the folder in which the workflow runs, with its settings and recordings; and how one is begun."""

from splatscope.project.places import CONFIG, RECORDINGS, REPOSITORY, results_of, settings_files, shipped

__all__ = ["CONFIG", "RECORDINGS", "REPOSITORY", "results_of", "settings_files", "shipped"]
