"""The subcommands of `splatscope`, one module each: `add_arguments(parser)` and `run(arguments) -> exit code`.

Their modules import nothing heavy until `run`, so that `splatscope --help` is quick.
"""
